package netreplytest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestImpossiblePatterns: a detail that no signal has fails the test, as a name does.
func TestImpossiblePatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"ErrorOccurred(NotFound)":      `"ErrorOccurred(NotFound)": there is no code "NotFound"; similar are ContentNotFoundError, HostNotFoundError, ProxyNotFoundError`,
		"ErrorOccurred(Nonsense)?":     `"ErrorOccurred(Nonsense)?": there is no code "Nonsense"`,
		"ErrorOccurred(NoError)":       `there is no code "NoError"`,
		"DownloadProgress(5)":          `"DownloadProgress(5)": the detail of a progress is bytes and total, 5/10, or 5/? if the total is not known`,
		"UploadProgress(?/5)":          "the detail of a progress is",
		"UploadProgress(05/5)":         "the detail of a progress is",
		"UploadProgress(-1/5)":         "the detail of a progress is",
		"DownloadProgress(5/x)":        "the detail of a progress is",
		"MetaDataChanged(OK)":          `"MetaDataChanged(OK)": the detail is a status, a number`,
		"MetaDataChanged(0200)":        "the detail is a status, a number",
		"InformationalReceived(-1)":    "the detail is a status, a number",
		"ReadyRead|MetaDataChanged(x)": "the detail is a status, a number",
	} {
		spy := &spyTB{TB: t}
		spy.run(func() { netreplytest.MatchEvents(spy, nil, "... "+pattern) })
		assert.Contains(t, spy.fatal, want, pattern)
	}
	for _, pattern := range []string{"ErrorOccurred(OperationCanceledError)", "UploadProgress(0/0)", "DownloadProgress(5/?)", "MetaDataChanged(0)"} {
		spy := &spyTB{TB: t}
		spy.run(func() { netreplytest.MatchEvents(spy, nil, pattern) })
		assert.Empty(t, spy.fatal, "%s is possible", pattern)
	}
}

// TestMatchNearest: if the signals end before the pattern does, the failure names the signal
// that comes nearest to what was wanted.
func TestMatchNearest(t *testing.T) {
	progress := func(done, total int64) netreply.Event {
		return netreply.DownloadProgress{Progress: netreply.Progress{Done: done, Total: total}}
	}
	events := []netreply.Event{netreply.RequestSent{}, netreply.MetaDataChanged{StatusCode: 404}, netreply.ReadyRead{}, progress(5, 5), progress(7, -1),
		netreply.ErrorOccurred{Code: netreply.ContentNotFoundError}, netreply.Finished{}}
	for pattern, want := range map[string]string{
		"... MetaDataChanged(200) ...":                             "no more signals; wanted here: ..., or MetaDataChanged(200)\n        nearest: 2 MetaDataChanged(404)",
		"... MetaDataChanged(404) ... ErrorOccurred(TimeoutError)": "nearest: 6 ErrorOccurred(ContentNotFoundError)",
		"... DownloadProgress(5/?) ...":                            "nearest: 4 DownloadProgress(5/5)",
		"... DownloadProgress(7/9) ...":                            "nearest: 5 DownloadProgress(7/?)",
		"... UploadProgress|ErrorOccurred(TimeoutError) ...":       "nearest: 6 ErrorOccurred(ContentNotFoundError)",
		"... Finished ReadyRead ...":                               "nearest: 3 ReadyRead, too early",
		"... Finished Finished":                                    "nearest: 7 Finished, too early",
	} {
		spy := &spyTB{TB: t}
		assert.False(t, netreplytest.MatchEvents(spy, events, pattern))
		require.Len(t, spy.errs, 1)
		assert.Contains(t, spy.errs[0]+"\n", want+"\n", pattern)
	}
	spy := &spyTB{TB: t}
	netreplytest.MatchEvents(spy, events, "... Encrypted ...")
	assert.NotContains(t, spy.errs[0], "nearest")
}
