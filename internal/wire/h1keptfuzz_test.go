package wire

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// answerEnd is between the answers of an input of FuzzH1Kept.
const answerEnd = "\xff\xff"

// keptAnswers makes an exchange for each answer, on as few connections as possible, as the
// pool does. The bit of an exchange in heads makes it a HEAD.
func keptAnswers(t *testing.T, answers [][]byte, heads uint8, piece, size int, lenient bool) (all []answer, reused int) {
	var h *h1Conn
	var nc *scriptedConn
	for i, raw := range answers {
		if h == nil {
			nc = &scriptedConn{}
			h = newH1Conn(&conn{stream: nc}, 4096)
			h.lenient = lenient
		} else {
			reused++
		}
		nc.rest, nc.piece = bytes.Clone(raw), piece
		got, kept := h.exchange(t, methodOf(heads, i), size)
		if all = append(all, got); !kept || len(nc.rest) > 0 { // the check of the idle connection finds the rest
			h = nil
		}
	}
	return all, reused
}

func methodOf(heads uint8, i int) string {
	if heads>>i&1 == 1 {
		return http.MethodHead
	}
	return http.MethodGet
}

// FuzzH1Kept: on a connection that is kept, each exchange returns the response to its own
// request, whatever the responses are that came before, and independent of the pieces in which
// bytes arrive and are read. For each of them that is what net/http reads from it alone.
func FuzzH1Kept(f *testing.F) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, s := range []string{
		ok + "Content-Length: 3\r\n\r\nabc" + answerEnd + ok + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n" + answerEnd + "HTTP/1.1 204 X\r\n\r\n" + answerEnd + ok + "\r\nto the end" + answerEnd + ok + "Content-Length: 1\r\n\r\nx",
		ok + "Content-Length: 3\r\n\r\n" + answerEnd + "abc" + ok + "Content-Length: 0\r\n\r\n" + answerEnd + ok + "Content-Length: 0\r\n\r\n",
		ok + "Content-Length: 0\r\n\r\n\r\n" + answerEnd + "\r\n" + ok + "Content-Length: 0\r\n\r\n\n\n" + answerEnd + ok + "Content-Length: 0\r\n\r\n" + ok,
		"HTTP/1.1 103 X\r\nContent-Length: 4\r\n\r\n" + ok + "Content-Length: 4\r\n\r\nabcd" + answerEnd + "HTTP/1.1 100 Continue\r\n\r\n" + answerEnd + ok + "Content-Length: 0\r\n\r\n",
		ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + answerEnd + "x" + answerEnd + "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx" + answerEnd + "HTTP/1.1 304 X\r\n\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" + answerEnd + ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n" + answerEnd + ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
	} {
		f.Add([]byte(s), 3, 2, uint8(0))
		f.Add([]byte(s), 5000, 5000, uint8(2))
		f.Add([]byte(s), 1, 5000, uint8(5))
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece, size int, heads uint8) {
		answers := bytes.SplitN(raw, []byte(answerEnd), 8)
		piece, size = 1+max(0, piece%9000), 1+max(0, size%9000)
		got, _ := keptAnswers(t, answers, heads, piece, size, false)
		for i, g := range got {
			want, _ := readWhole(answers[i], methodOf(heads, i))
			if g.err != nil {
				continue // why is for FuzzH1Exchange
			}
			require.NoError(t, want.err, "net/http rejects %q", answers[i])
			require.Equal(t, want.status, g.status)
			require.Equal(t, string(want.body), string(g.body))
			require.Equal(t, want.trailer, g.trailer)
		}
		once, _ := keptAnswers(t, answers, heads, piece, size, true)
		again, _ := keptAnswers(t, answers, heads, 1, 9000, true)
		for i := range once {
			require.Equal(t, again[i].err == nil, once[i].err == nil, "%q: %v, %v", answers[i], again[i].err, once[i].err)
			require.Equal(t, again[i].status, once[i].status)
			require.Equal(t, string(again[i].body), string(once[i].body))
		}
	})
}

// TestKeptAnswers: FuzzH1Kept does reuse connections.
func TestKeptAnswers(t *testing.T) {
	answers := bytes.Split([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"+answerEnd+"HTTP/1.1 204 X\r\n\r\n"+answerEnd+"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), []byte(answerEnd))
	for _, size := range []int{1, 100} {
		all, reused := keptAnswers(t, append(answers, answers...), 0, size, size, true)
		require.Len(t, all, 6)
		require.Equal(t, 5, reused)
		for _, a := range all {
			require.NoError(t, a.err)
		}
	}
}
