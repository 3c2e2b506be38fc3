package netreply_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// Tests of the limits of time of a Backend's reply, in fake time.

// timed runs f in fake time, with a Manager whose scheme test is served by serve.
func timed(t *testing.T, cfg netreply.Config, serve netreply.BackendFunc, f func(*testing.T, *netreply.Manager)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Backends = map[string]netreply.Backend{"test": serve}
		m, err := netreply.NewManager(cfg)
		require.NoError(t, err)
		defer m.Close()
		f(t, m)
	})
}

// untilEnd is a Serve that waits for the end of the reply.
func untilEnd(q *netreply.BackendRequest, _ netreply.ReplyWriter) error {
	<-q.Context().Done()
	return context.Cause(q.Context())
}

// requireTimeout checks that a reply fails with TimeoutError after a time.
func requireTimeout(t *testing.T, r *netreply.Reply, after time.Duration, what string) *netreply.Error {
	t.Helper()
	start := time.Now()
	err := r.Wait(context.Background())
	require.ErrorIs(t, err, netreply.TimeoutError)
	assert.ErrorContains(t, err, what)
	assert.Equal(t, after, time.Since(start))
	var e *netreply.Error
	require.ErrorAs(t, err, &e)
	return e
}

// TestBackendTransferTimeout: the reply fails when the Backend does nothing for the time.
func TestBackendTransferTimeout(t *testing.T) {
	timed(t, netreply.Config{}, untilEnd, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "test:x")
		req.TransferTimeout = time.Minute
		e := requireTimeout(t, m.Get(t.Context(), req), time.Minute, "TransferTimeout")
		assert.Equal(t, netreply.PhaseHeaders, e.Phase)
		assert.True(t, e.Retryable)
	})
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		io.WriteString(w, "part")
		return untilEnd(q, w)
	}, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "test:x")
		req.TransferTimeout = time.Minute
		r := m.Get(t.Context(), req)
		e := requireTimeout(t, r, time.Minute, "TransferTimeout")
		assert.Equal(t, netreply.PhaseBody, e.Phase)
		assert.EqualValues(t, 4, e.Received)
		b, err := r.ReadAll()
		assert.ErrorIs(t, err, netreply.TimeoutError)
		assert.Equal(t, "part", string(b), "what came before stays readable")
	})
}

// TestBackendTouch: every call of a ReplyWriter that comes at its time is activity.
func TestBackendTouch(t *testing.T) {
	for _, c := range writerCalls() {
		switch c.method {
		case "SetFinished", "Redirect":
			continue // which end the hop
		}
		timed(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			time.Sleep(40 * time.Second)
			c.call(w)
			time.Sleep(40 * time.Second)
			return nil
		}, func(t *testing.T, m *netreply.Manager) {
			req := newRequest(t, "test:x")
			req.TransferTimeout = time.Minute
			assert.NotErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.TimeoutError, c.method)
		})
	}
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		for q.Context().Err() == nil {
			time.Sleep(time.Second)
			if err := w.SetURL(nil); err == nil {
				return errors.New("accepted")
			}
		}
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "test:x")
		req.TransferTimeout = time.Minute
		r := m.Get(t.Context(), req)
		time.Sleep(10 * time.Minute)
		assert.ErrorIs(t, r.Err(), netreply.TimeoutError)
	})
}

// TestBackendTouchOfAnEarlierHop: a goroutine that a hop has left behind does not keep the reply
// alive.
func TestBackendTouchOfAnEarlierHop(t *testing.T) {
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Opaque == "silent" {
			return untilEnd(q, w)
		}
		go func() {
			for q.Context().Err() == nil {
				for _, c := range writerCalls() {
					c.call(w)
				}
				q.Body.Read(make([]byte, 1))
				time.Sleep(time.Second)
			}
		}()
		return w.Redirect("test:silent", 307)
	}, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "test:x")
		req.TransferTimeout = time.Minute
		requireTimeout(t, m.Post(t.Context(), req, netreply.StringBody("body")), time.Minute, "TransferTimeout")
		time.Sleep(time.Minute) // the goroutine ends
	})
}

// TestBackendClockPauses: time in which the reply waits for the program does not count.
func TestBackendClockPauses(t *testing.T) {
	limits := func(t *testing.T) (*netreply.Request, netreply.Config) {
		req := newRequest(t, "test:x")
		req.TransferTimeout = time.Minute
		return req, netreply.Config{HeadTimeout: time.Minute}
	}
	t.Run("slow reader", func(t *testing.T) {
		req, cfg := limits(t)
		req.ReadBufferSize = 4
		timed(t, cfg, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
			return err
		}, func(t *testing.T, m *netreply.Manager) {
			r := m.Get(t.Context(), req)
			time.Sleep(time.Hour)
			assert.NoError(t, r.Err())
			b, err := r.ReadAll()
			assert.NoError(t, err)
			assert.Len(t, b, 1<<20)
		})
	})
	t.Run("question", func(t *testing.T) {
		req, cfg := limits(t)
		req.Answer = func(_ context.Context, q netreply.Question) {
			time.Sleep(time.Hour)
			yes(q)
		}
		timed(t, cfg, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			_, _, err := w.AuthenticationRequired(&netreply.Authenticator{})
			return err
		}, func(t *testing.T, m *netreply.Manager) {
			start := time.Now()
			assert.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
			assert.Equal(t, time.Hour, time.Since(start))
		})
	})
	t.Run("redirect", func(t *testing.T) {
		req, cfg := limits(t)
		req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
		req.Answer = func(_ context.Context, q netreply.Question) {
			time.Sleep(time.Hour)
			q.(*netreply.Redirect).Allow()
		}
		timed(t, cfg, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			if q.URL.Opaque == "end" {
				return nil
			}
			return w.Redirect("test:end", 302)
		}, func(t *testing.T, m *netreply.Manager) {
			assert.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
		})
	})
	t.Run("upload source", func(t *testing.T) {
		req, cfg := limits(t)
		req.DoNotBufferUploadData = true
		timed(t, cfg, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			b, err := io.ReadAll(q.Body)
			assert.Equal(t, "slow", string(b))
			return err
		}, func(t *testing.T, m *netreply.Manager) {
			pr, pw := io.Pipe()
			r := m.Post(t.Context(), req, netreply.ReaderBody(pr))
			time.Sleep(time.Hour)
			io.WriteString(pw, "slow")
			time.Sleep(time.Hour)
			pw.Close()
			assert.NoError(t, r.Wait(t.Context()))
		})
	})
	t.Run("OnSignal", func(t *testing.T) {
		req, cfg := limits(t)
		req.OnSignal = func(*netreply.Reply, netreply.Event) { time.Sleep(time.Hour) }
		timed(t, cfg, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			w.MetaDataChanged()
			_, err := io.WriteString(w, "x")
			return err
		}, func(t *testing.T, m *netreply.Manager) {
			assert.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
			time.Sleep(24 * time.Hour) // the last calls return
		})
	})
}

// TestBackendHeadTimeout: the head must come within the time, which begins anew after a wait for
// the program; the body may take longer.
func TestBackendHeadTimeout(t *testing.T) {
	cfg := netreply.Config{HeadTimeout: time.Minute}
	timed(t, cfg, untilEnd, func(t *testing.T, m *netreply.Manager) {
		e := requireTimeout(t, m.Get(t.Context(), newRequest(t, "test:x")), time.Minute, "HeadTimeout")
		assert.Equal(t, netreply.PhaseHeaders, e.Phase)
	})
	timed(t, cfg, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		w.MetaDataChanged()
		time.Sleep(time.Hour)
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		assert.NoError(t, m.Get(t.Context(), newRequest(t, "test:x")).Wait(t.Context()))
	})
	timed(t, cfg, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		time.Sleep(40 * time.Second)
		_, err := io.Copy(io.Discard, q.Body)
		assert.NoError(t, err)
		return untilEnd(q, w)
	}, func(t *testing.T, m *netreply.Manager) {
		requireTimeout(t, m.Post(t.Context(), newRequest(t, "test:x"), netreply.StringBody("b")), 100*time.Second, "HeadTimeout")
	})
	timed(t, cfg, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		_, err := io.Copy(io.Discard, q.Body)
		assert.Error(t, err, "the source cannot be opened")
		return untilEnd(q, w)
	}, func(t *testing.T, m *netreply.Manager) {
		body := netreply.SourceBody(4, func() (io.ReadCloser, error) { return nil, errors.New("gone") })
		requireTimeout(t, m.Post(t.Context(), newRequest(t, "test:x"), body), time.Minute, "HeadTimeout")
	})
	timed(t, cfg, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Opaque != "silent" {
			time.Sleep(40 * time.Second)
			return w.Redirect("test:silent", 302)
		}
		return untilEnd(q, w)
	}, func(t *testing.T, m *netreply.Manager) {
		e := requireTimeout(t, m.Get(t.Context(), newRequest(t, "test:x")), 100*time.Second, "HeadTimeout")
		assert.Equal(t, 1, e.Hop, "each hop has its own time")
	})
}

// TestBackendMinRate: a body of less than the rate fails the reply, in both directions.
func TestBackendMinRate(t *testing.T) {
	slow := func(t *testing.T) *netreply.Request {
		req := newRequest(t, "test:x")
		req.MinRate = 1000
		return req
	}
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		time.Sleep(time.Minute) // the head may take its time
		for range 60 {
			if _, err := w.Write(make([]byte, 900)); err != nil {
				return err
			}
			time.Sleep(time.Second)
		}
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		requireTimeout(t, m.Get(t.Context(), slow(t)), 70*time.Second, "MinRate")
	})
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		for range 60 {
			if _, err := w.Write(make([]byte, 1200)); err != nil {
				return err
			}
			time.Sleep(time.Second)
		}
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		assert.NoError(t, m.Get(t.Context(), slow(t)).Wait(t.Context()))
	})
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		for {
			if _, err := q.Body.Read(make([]byte, 100)); err != nil {
				return err
			}
			time.Sleep(time.Second)
		}
	}, func(t *testing.T, m *netreply.Manager) {
		requireTimeout(t, m.Post(t.Context(), slow(t), netreply.BytesBody(make([]byte, 1<<20))), 10*time.Second, "MinRate")
	})
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		io.Copy(io.Discard, q.Body)
		time.Sleep(time.Minute) // the answer may take its time
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		assert.NoError(t, m.Post(t.Context(), slow(t), netreply.BytesBody(make([]byte, 1<<20))).Wait(t.Context()))
	})
}

// TestBackendDeadline: the deadline of the caller's context ends the reply at once.
func TestBackendDeadline(t *testing.T) {
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		time.Sleep(time.Hour) // returns late
		_, err := io.WriteString(w, "late")
		assert.ErrorIs(t, err, netreply.TimeoutError)
		return err
	}, func(t *testing.T, m *netreply.Manager) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r := m.Get(ctx, newRequest(t, "test:x"))
		requireTimeout(t, r, time.Minute, "deadline")
		assert.ErrorIs(t, r.Err(), context.DeadlineExceeded)
		time.Sleep(2 * time.Hour)
		assert.Zero(t, r.BytesAvailable())
	})
}

// TestBackendProgress: progress without bytes is emitted at most every 100 ms, and the total at
// the end is that of the body.
func TestBackendProgress(t *testing.T) {
	timed(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		for n := range int64(100) {
			assert.NoError(t, w.Progress(n, 200))
			time.Sleep(10 * time.Millisecond)
		}
		_, err := io.WriteString(w, "body")
		return err
	}, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "test:x")
		var told []netreply.Progress
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if e, ok := e.(netreply.DownloadProgress); ok {
				told = append(told, e.Progress)
			}
		}
		require.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
		synctest.Wait()
		require.Len(t, told, 11)
		assert.Equal(t, netreply.Progress{Done: 10, Total: 200}, told[0])
		assert.Equal(t, netreply.Progress{Done: 90, Total: 200}, told[8])
		assert.Equal(t, netreply.Progress{Done: 4, Total: 4}, told[10])
	})
}

// TestBackendManagerClose: Close ends the replies at once, and waits for a Serve that does not
// return for a short time only.
func TestBackendManagerClose(t *testing.T) {
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		<-q.Context().Done()
		time.Sleep(time.Hour)
		for _, c := range writerCalls() {
			assert.ErrorIs(t, c.call(w), netreply.OperationCanceledError, c.method)
		}
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		r := m.Get(t.Context(), newRequest(t, "test:x"))
		synctest.Wait()
		start := time.Now()
		assert.NoError(t, m.Close())
		assert.Less(t, time.Since(start), 3*time.Second) // in fake time
		assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
		assert.ErrorIs(t, m.Get(t.Context(), newRequest(t, "test:x")).Wait(t.Context()), netreply.OperationCanceledError)
		time.Sleep(2 * time.Hour)
	})
}

// TestBackendReturnsMeanwhile: what another goroutine has begun to end decides how the reply goes
// on, also if Serve returns meanwhile.
func TestBackendReturnsMeanwhile(t *testing.T) {
	timed(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(5)))
		go w.SetFinished() // of a body that is too short
		synctest.Wait()
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "test:x")
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if signalName(e) == "head" {
				time.Sleep(time.Minute)
			}
		}
		assert.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.RemoteHostClosedError)
	})
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Opaque == "y" {
			_, err := io.WriteString(w, "the end")
			return err
		}
		go w.Redirect("test:y", 302)
		synctest.Wait()
		return nil
	}, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "test:x")
		req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
		req.Answer = func(_ context.Context, q netreply.Question) {
			time.Sleep(time.Minute)
			yes(q)
		}
		b, err := m.Get(t.Context(), req).ReadAll()
		assert.NoError(t, err)
		assert.Equal(t, "the end", string(b))
	})
}

// TestBackendBodyOpenedOnce: the next hop opens the body only when a Read that the last one has
// left behind has returned.
func TestBackendBodyOpenedOnce(t *testing.T) {
	timed(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Opaque == "y" {
			_, err := io.Copy(w, q.Body)
			return err
		}
		go q.Body.Read(make([]byte, 1))
		synctest.Wait()
		return w.Redirect("test:y", 307)
	}, func(t *testing.T, m *netreply.Manager) {
		opening, opened := 0, 0 // without a lock: the calls must not overlap
		body := netreply.SourceBody(-1, func() (io.ReadCloser, error) {
			opening++
			assert.Equal(t, 1, opening)
			time.Sleep(time.Minute)
			opening--
			opened++
			return io.NopCloser(strings.NewReader("payload")), nil
		})
		b, err := m.Post(t.Context(), newRequest(t, "test:x"), body).ReadAll()
		assert.NoError(t, err)
		assert.Equal(t, "payload", string(b))
		assert.Equal(t, 2, opened)
	})
}
