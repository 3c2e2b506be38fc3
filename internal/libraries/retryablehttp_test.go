package libraries

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// retrying makes a client, and a count of its attempts.
func retrying(rt http.RoundTripper) (client *retryablehttp.Client, attempts *int) {
	client, attempts = retryablehttp.NewClient(), new(int)
	client.HTTPClient = &http.Client{Transport: rt}
	client.Logger = nil
	client.RetryMax, client.RetryWaitMin, client.RetryWaitMax = 3, time.Millisecond, time.Millisecond
	client.RequestLogHook = func(retryablehttp.Logger, *http.Request, int) { *attempts++ }
	return client, attempts
}

// bodies are what retryablehttp can rewind.
func bodies(text string) map[string]any {
	return map[string]any{
		"bytes":  []byte(text),
		"buffer": bytes.NewBufferString(text),
		"reader": bytes.NewReader([]byte(text)),
		"seeker": io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))),
		"func":   retryablehttp.ReaderFunc(func() (io.Reader, error) { return io.LimitReader(strings.NewReader(text), int64(len(text))), nil }),
	}
}

func TestRetryOfStatuses(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 4096)
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		for name, body := range bodies(text) {
			t.Run(name, func(t *testing.T) {
				var mu sync.Mutex
				statuses := []int{http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusCreated}
				var got []string
				s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					mu.Lock()
					defer mu.Unlock()
					got = append(got, string(b))
					if statuses[0] != http.StatusCreated {
						w.Header().Set("Retry-After", "0")
					}
					w.WriteHeader(statuses[0])
					fmt.Fprint(w, "answer ", len(got))
					statuses = statuses[1:]
				}))
				client, attempts := retrying(rt)
				res, err := client.Post(s.URL, "text/plain", body)
				require.NoError(t, err)
				assert.Equal(t, http.StatusCreated, res.StatusCode)
				assert.Equal(t, "answer 4", readAll(t, res))
				assert.Equal(t, 4, *attempts)
				require.Len(t, got, 4)
				for i, b := range got {
					assert.True(t, b == text, "body of attempt %d: %d bytes", i+1, len(b))
				}
			})
		}
	})
}

func TestRetryGivesUp(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "come back later")
		}))
		client, attempts := retrying(rt)
		_, err := client.Get(s.URL)
		require.ErrorContains(t, err, "giving up after 4 attempt(s)")
		assert.Equal(t, 4, *attempts)

		client, _ = retrying(rt)
		client.ErrorHandler = retryablehttp.PassthroughErrorHandler
		res, err := client.Get(s.URL)
		require.NoError(t, err)
		assert.Equal(t, "come back later", readAll(t, res))
	})
}

func TestRetryOfRefusedConnection(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		s, rt := c.serve(t, http.HandlerFunc(echo))
		refusing := testserver.Refusing(t)
		scheme, addr, _ := strings.Cut(s.URL, "://")

		client, attempts := retrying(rt)
		_, err := client.Post(scheme+"://"+refusing, "text/plain", []byte("never sent"))
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		var failed *net.OpError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, "dial", failed.Op)
		assert.Equal(t, 4, *attempts)

		client, attempts = retrying(rt)
		client.PrepareRetry = func(req *http.Request) error {
			u := *req.URL
			if *attempts == 2 {
				u.Host = addr
			}
			req.URL, req.Host = &u, u.Host
			return nil
		}
		res, err := client.Post(scheme+"://"+refusing, "text/plain", []byte("sent at last"))
		require.NoError(t, err)
		assert.Equal(t, "sent at last", readAll(t, res))
		assert.Equal(t, 3, *attempts)
	})
}

// TestRetryOfReset: a connection that ends before the response.
func TestRetryOfReset(t *testing.T) {
	each(t, []testserver.Kind{testserver.Plain}, func(t *testing.T, c *client) {
		var mu sync.Mutex
		var got []string
		s := testserver.NewRaw(t, nil, func(conn *testserver.Conn) {
			_, body, ok := conn.Request()
			if !ok {
				return
			}
			mu.Lock()
			got = append(got, string(body))
			n := len(got)
			mu.Unlock()
			if n < 3 {
				conn.Reset()
				return
			}
			conn.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		client, attempts := retrying(c.transport(t, nil))
		res, err := client.Post(s.URL(), "text/plain", []byte("body"))
		require.NoError(t, err)
		assert.Equal(t, "ok", readAll(t, res))
		assert.Equal(t, 3, *attempts)
		assert.Equal(t, []string{"body", "body", "body"}, got)
	})
}

// TestRetryOfPermanentErrors: retryablehttp tells by types and texts of errors that another
// attempt is of no use.
func TestRetryOfPermanentErrors(t *testing.T) {
	each(t, []testserver.Kind{testserver.TLS, testserver.H2}, func(t *testing.T, c *client) {
		s, _ := c.serve(t, http.HandlerFunc(echo))
		t.Run("certificate", func(t *testing.T) {
			client, attempts := retrying(c.transport(t, &tls.Config{}))
			_, err := client.Get(s.URL)
			var untrusted *tls.CertificateVerificationError
			require.ErrorAs(t, err, &untrusted)
			assert.Len(t, untrusted.UnverifiedCertificates, 1)
			var authority x509.UnknownAuthorityError
			require.ErrorAs(t, err, &authority)
			assert.Equal(t, 1, *attempts)
		})
		t.Run("HTTP instead of TLS", func(t *testing.T) {
			plain, _ := testserver.NewOriginWith(t, testserver.Plain, http.HandlerFunc(echo), func(s *http.Server) { s.ErrorLog = discardLog })
			client, _ := retrying(c.transport(t, &tls.Config{}))
			_, err := client.Get(strings.Replace(plain.URL, "http:", "https:", 1))
			require.ErrorIs(t, err, http.ErrSchemeMismatch)
		})
		t.Run("scheme", func(t *testing.T) {
			client, attempts := retrying(c.transport(t, &tls.Config{}))
			_, err := client.Get("gopher://127.0.0.1/")
			require.Error(t, err)
			assert.Equal(t, 1, *attempts, "%v", err)
		})
		t.Run("header", func(t *testing.T) {
			client, attempts := retrying(c.transport(t, &tls.Config{}))
			req, err := retryablehttp.NewRequest(http.MethodGet, s.URL, nil)
			require.NoError(t, err)
			req.Header["Not Valid"] = []string{"x"}
			_, err = client.Do(req)
			require.Error(t, err)
			assert.Equal(t, 1, *attempts, "%v", err)
		})
	})
}

func TestRetryCanceled(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		ctx, cancel := context.WithCancel(deadline(t))
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}))
		client, attempts := retrying(rt)
		req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		require.NoError(t, err)
		_, err = client.Do(req)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, *attempts)
	})
}
