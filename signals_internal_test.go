package netreply

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is the value of a kind of signal, if it has one.
var sample = map[signal]any{
	sigSSLErrors:           &SSLErrors{Host: "a.example"},
	sigPreSharedKey:        &PreSharedKeyAuthenticator{IdentityHint: []byte("hint")},
	sigInformational:       &Informational{StatusCode: 103},
	sigAuthentication:      &Authenticator{Realm: "realm"},
	sigProxyAuthentication: &ProxyAuthenticator{Authenticator: &Authenticator{Realm: "realm"}},
	sigRedirected:          &Redirect{StatusCode: 302},
}

// channels are the methods that return the channels.
var channels = map[signal]any{
	sigConnecting: (*Reply).SocketStartedConnecting, sigSSLErrors: (*Reply).SSLErrors, sigPreSharedKey: (*Reply).PreSharedKeyAuthenticationRequired,
	sigEncrypted: (*Reply).Encrypted, sigRequestSent: (*Reply).RequestSent, sigUploadProgress: (*Reply).UploadProgress,
	sigInformational: (*Reply).InformationalReceived, sigMetaData: (*Reply).MetaDataChanged, sigAuthentication: (*Reply).AuthenticationRequired,
	sigProxyAuthentication: (*Reply).ProxyAuthenticationRequired, sigRedirected: (*Reply).Redirected, sigReadyRead: (*Reply).ReadyRead,
	sigDownloadProgress: (*Reply).DownloadProgress, sigError: (*Reply).ErrorOccurred, sigFinished: (*Reply).Finished,
}

// TestSignalTable: every signal has a row, an event with the row's name, and a method of
// Reply with its channel.
func TestSignalTable(t *testing.T) {
	for k := range signals {
		r := &Reply{m: new(Manager)}
		e := entry{kind: k, at: 1500 * time.Microsecond, a: 1, b: 2, value: sample[k]}
		event := e.event()
		assert.Equal(t, "netreply."+k.String(), reflect.TypeOf(event).String())
		assert.Equal(t, e.at, event.Elapsed())
		assert.Equal(t, k != sigInformational, reflect.TypeOf(event).Comparable(), "%v", k)

		require.Contains(t, channels, k)
		ch := reflect.ValueOf(channels[k]).Call([]reflect.Value{reflect.ValueOf(r)})[0]
		r.note(e.kind, e.at, e.a, e.b, e.value)
		got, open := ch.Recv()
		require.True(t, open, "%v", k)
		if e.value != nil && got.Kind() == reflect.Pointer {
			assert.Equal(t, e.value, got.Interface())
		}
		assert.Positive(t, ch.Cap(), "%v", k)
	}
	assert.Equal(t, "signal(99)", signal(99).String())
}

// TestEventText: the text of an event.
func TestEventText(t *testing.T) {
	at := elapsed{1500 * time.Microsecond}
	for want, e := range map[string]Event{
		"RequestSent after 1.5ms":                                   RequestSent{at},
		"MetaDataChanged 200 after 1.5ms":                           MetaDataChanged{at, 200},
		"DownloadProgress 5 of 10 bytes after 1.5ms":                DownloadProgress{at, Progress{5, 10}},
		"UploadProgress 5 bytes after 1.5ms":                        UploadProgress{at, Progress{5, -1}},
		"ErrorOccurred ContentNotFoundError after 1.5ms":            ErrorOccurred{at, ContentNotFoundError},
		"Redirected netreply.Redirect{StatusCode: 302} after 1.5ms": Redirected{at, &Redirect{StatusCode: 302}},
	} {
		assert.Equal(t, want, fmt.Sprint(e))
		assert.Equal(t, want, fmt.Sprintf("%+v", e))
	}
}
