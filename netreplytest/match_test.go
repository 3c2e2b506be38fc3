package netreplytest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestMatchEvents: what a pattern matches and what it does not.
func TestMatchEvents(t *testing.T) {
	progress := func(done, total int64) netreply.Event {
		return netreply.DownloadProgress{Progress: netreply.Progress{Done: done, Total: total}}
	}
	events := []netreply.Event{
		netreply.RequestSent{}, netreply.MetaDataChanged{StatusCode: 404}, netreply.ReadyRead{}, progress(3, -1), netreply.ReadyRead{}, progress(5, 5),
		netreply.ErrorOccurred{Code: netreply.ContentNotFoundError}, netreply.Finished{},
	}
	for pattern, want := range map[string]bool{
		"RequestSent MetaDataChanged ReadyRead DownloadProgress ReadyRead DownloadProgress ErrorOccurred Finished": true,
		"RequestSent MetaDataChanged ReadyRead|DownloadProgress* ErrorOccurred Finished":                           true,
		"RequestSent MetaDataChanged ReadyRead|DownloadProgress+ ErrorOccurred Finished":                           true,
		"Encrypted? RequestSent? Encrypted* ... Finished":                                                          true,
		"... Finished": true, "...": true, "... ReadyRead ... ReadyRead ...": true,
		"... MetaDataChanged(404) ... ErrorOccurred(ContentNotFoundError) Finished": true,
		"... DownloadProgress(3/?) ... DownloadProgress(5/5) ...":                   true,
		"... MetaDataChanged(404)|MetaDataChanged(200) ...":                         true,
		"":            false,
		"RequestSent": false,
		"... ReadyRead ... ReadyRead ... ReadyRead ...":                 false,
		"... MetaDataChanged(200) ...":                                  false,
		"... DownloadProgress(5/?) ...":                                 false,
		"... Encrypted+ ...":                                            false,
		"... Finished Finished?  Finished":                              false,
		"RequestSent MetaDataChanged ReadyRead* ErrorOccurred Finished": false,
		"RequestSent+ MetaDataChanged? ReadyRead+ DownloadProgress ReadyRead DownloadProgress+ ErrorOccurred": false,
	} {
		spy := &spyTB{TB: t}
		assert.Equal(t, want, netreplytest.MatchEvents(spy, events, pattern), pattern)
		assert.Equal(t, want, len(spy.errs) == 0, pattern)
	}
	for pattern, want := range map[string]string{
		"ReadyReed":         `the pattern has "ReadyReed": there is no signal "ReadyReed", only SocketStartedConnecting, `,
		"Finished(1)":       `"Finished(1)": only MetaDataChanged, `,
		"MetaDataChanged()": `"MetaDataChanged()": only`,
		"*":                 `there is no signal ""`,
	} {
		spy := &spyTB{TB: t}
		spy.run(func() { netreplytest.MatchEvents(spy, events, pattern) })
		assert.Contains(t, spy.fatal, want, pattern)
	}
}

// TestMatchText: the failure shows all signals, and at the first that does not fit what was
// wanted.
func TestMatchText(t *testing.T) {
	spy := &spyTB{TB: t}
	events := []netreply.Event{netreply.RequestSent{}, netreply.ErrorOccurred{Code: netreply.TimeoutError}, netreply.Finished{}}
	netreplytest.MatchEvents(spy, events, "RequestSent  UploadProgress*\nMetaDataChanged Finished")
	netreplytest.MatchEvents(spy, events, "... Finished Finished")
	require.Len(t, spy.errs, 2)
	assert.Equal(t, `netreplytest: the signals do not match RequestSent UploadProgress* MetaDataChanged Finished
      1 RequestSent after 0s
  >>  2 ErrorOccurred TimeoutError after 0s
        wanted here: UploadProgress*, or MetaDataChanged
      3 Finished after 0s`, spy.errs[0])
	assert.Contains(t, spy.errs[1], "\n  >>    no more signals; wanted here: ..., or Finished")
}

// TestRecorder: a Recorder made late has everything, one that is told has every progress, and
// the signals so far can be had from a reply that is running.
func TestRecorder(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", netreplytest.Answer{netreplytest.Status(404), netreplytest.Body("none")})
	var rec netreplytest.Recorder
	req := s.Request("/")
	req.OnSignal = rec.OnSignal
	r := s.Manager().Get(t.Context(), req)
	require.Error(t, r.Wait(t.Context()))
	const pattern = "SocketStartedConnecting RequestSent MetaDataChanged(404) ReadyRead DownloadProgress* ErrorOccurred(ContentNotFoundError) DownloadProgress(4/4) Finished"
	rec.Match(t, pattern)
	rec.MatchNow(t, pattern)
	netreplytest.Record(r).Match(t, pattern)
	assert.Contains(t, rec.String(), "MetaDataChanged 404 after ")

	r = netreplytest.Reply(t, netreplytest.Body("x"), netreplytest.Stall())
	<-r.ReadyRead()
	netreplytest.Record(r).MatchNow(t, "... MetaDataChanged ReadyRead DownloadProgress?")
	assert.True(t, new(netreplytest.Recorder).Match(t, ""))
}
