package libraries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/netreply/netreply/internal/testserver"
)

type (
	text   = wrapperspb.StringValue
	number = wrapperspb.Int64Value
)

// rpc are the procedures of a service, one of each kind.
type rpc struct {
	upper *connect.Client[text, text]
	words *connect.Client[text, text]     // text to a stream of its words
	sum   *connect.Client[number, number] // a stream of numbers to their sum
	chat  *connect.Client[text, text]     // each message answered
	hang  *connect.Client[text, text]     // answers once and then waits for the end of the call
	abort *connect.Client[text, text]     // answers once and then ends the connection or stream
}

// rpcHandler is the service; ended gets the end of each call of hang.
func rpcHandler(ended chan<- error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/test/upper", connect.NewUnaryHandler("/test/upper", func(_ context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
		if r.Msg.Value == "" {
			err := connect.NewError(connect.CodeInvalidArgument, errors.New("nothing to do: ümläut"))
			detail, _ := connect.NewErrorDetail(wrapperspb.String("detail"))
			err.AddDetail(detail)
			err.Meta().Set("Reason", "empty")
			return nil, err
		}
		res := connect.NewResponse(wrapperspb.String(strings.ToUpper(r.Msg.Value)))
		res.Header().Set("Answer-Header", r.Header().Get("Call-Header"))
		res.Trailer().Set("Answer-Trailer", "after the message")
		return res, nil
	}))
	mux.Handle("/test/words", connect.NewServerStreamHandler("/test/words", func(_ context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
		for word := range strings.FieldsSeq(r.Msg.Value) {
			if err := s.Send(wrapperspb.String(word)); err != nil {
				return err
			}
		}
		s.ResponseTrailer().Set("Answer-Trailer", "after the messages")
		if strings.HasSuffix(r.Msg.Value, "!") {
			return connect.NewError(connect.CodeDataLoss, errors.New("too loud"))
		}
		return nil
	}))
	mux.Handle("/test/sum", connect.NewClientStreamHandler("/test/sum", func(_ context.Context, s *connect.ClientStream[number]) (*connect.Response[number], error) {
		var sum int64
		for s.Receive() {
			sum += s.Msg().Value
		}
		return connect.NewResponse(wrapperspb.Int64(sum)), s.Err()
	}))
	mux.Handle("/test/chat", connect.NewBidiStreamHandler("/test/chat", func(_ context.Context, s *connect.BidiStream[text, text]) error {
		for {
			m, err := s.Receive()
			if errors.Is(err, io.EOF) {
				s.ResponseTrailer().Set("Answer-Trailer", "after the talk")
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.Send(wrapperspb.String("re: " + m.Value)); err != nil {
				return err
			}
		}
	}))
	mux.Handle("/test/hang", connect.NewServerStreamHandler("/test/hang", func(ctx context.Context, _ *connect.Request[text], s *connect.ServerStream[text]) error {
		if err := s.Send(wrapperspb.String("hanging")); err != nil {
			return err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}))
	mux.Handle("/test/abort", connect.NewServerStreamHandler("/test/abort", func(_ context.Context, _ *connect.Request[text], s *connect.ServerStream[text]) error {
		if err := s.Send(wrapperspb.String("aborting")); err != nil {
			return err
		}
		panic(http.ErrAbortHandler)
	}))
	return mux
}

func newRPC(url string, rt http.RoundTripper, options ...connect.ClientOption) *rpc {
	client := &http.Client{Transport: rt}
	texts := func(name string) *connect.Client[text, text] {
		return connect.NewClient[text, text](client, url+"/test/"+name, options...)
	}
	return &rpc{
		upper: texts("upper"), words: texts("words"), chat: texts("chat"), hang: texts("hang"), abort: texts("abort"),
		sum: connect.NewClient[number, number](client, url+"/test/sum", options...),
	}
}

// eachRPC runs a test with each protocol that connect has for procedures, where HTTP allows
// it: gRPC needs trailers, a body that is sent while another is received needs HTTP/2.
func eachRPC(t *testing.T, test func(*testing.T, *client, *rpc, <-chan error)) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		protocols := map[string]connect.ClientOption{
			"connect": connect.WithClientOptions(), "gRPC-Web": connect.WithGRPCWeb(), "gRPC": connect.WithGRPC(),
			"JSON": connect.WithProtoJSON(), "GET": connect.WithHTTPGet(),
		}
		if !multiplexed(c) {
			delete(protocols, "gRPC")
		}
		for name, protocol := range protocols {
			t.Run(name, func(t *testing.T) {
				ended := make(chan error, 1)
				s, rt := c.serve(t, rpcHandler(ended))
				test(t, c, newRPC(s.URL, rt, protocol), ended)
			})
		}
	})
}

func multiplexed(c *client) bool { return c.version() == "HTTP/2.0" }

func TestConnectUnary(t *testing.T) {
	eachRPC(t, func(t *testing.T, c *client, rpc *rpc, _ <-chan error) {
		req := connect.NewRequest(wrapperspb.String("hello"))
		req.Header().Set("Call-Header", "sent along")
		res, err := rpc.upper.CallUnary(deadline(t), req)
		require.NoError(t, err)
		assert.Equal(t, "HELLO", res.Msg.Value)
		assert.Equal(t, "sent along", res.Header().Get("Answer-Header"))
		assert.Equal(t, "after the message", res.Trailer().Get("Answer-Trailer"))

		long := strings.Repeat("long ", 20_000)
		res, err = rpc.upper.CallUnary(deadline(t), connect.NewRequest(wrapperspb.String(long)))
		require.NoError(t, err)
		assert.True(t, res.Msg.Value == strings.ToUpper(long))

		_, err = rpc.upper.CallUnary(deadline(t), connect.NewRequest(wrapperspb.String("")))
		var failed *connect.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, connect.CodeInvalidArgument, failed.Code())
		assert.Equal(t, "nothing to do: ümläut", failed.Message())
		assert.Equal(t, "empty", failed.Meta().Get("Reason"))
		require.Len(t, failed.Details(), 1)
		detail, err := failed.Details()[0].Value()
		require.NoError(t, err)
		assert.Equal(t, "detail", detail.(*text).Value)
	})
}

func TestConnectStreams(t *testing.T) {
	eachRPC(t, func(t *testing.T, c *client, rpc *rpc, _ <-chan error) {
		ctx := deadline(t)
		words, err := rpc.words.CallServerStream(ctx, connect.NewRequest(wrapperspb.String("one two three")))
		require.NoError(t, err)
		var got []string
		for words.Receive() {
			got = append(got, words.Msg().Value)
		}
		require.NoError(t, words.Err())
		assert.Equal(t, []string{"one", "two", "three"}, got)
		assert.Equal(t, "after the messages", words.ResponseTrailer().Get("Answer-Trailer"))
		require.NoError(t, words.Close())

		words, err = rpc.words.CallServerStream(ctx, connect.NewRequest(wrapperspb.String("not so loud!")))
		require.NoError(t, err)
		for words.Receive() {
		}
		assert.Equal(t, connect.CodeDataLoss, connect.CodeOf(words.Err()))
		require.NoError(t, words.Close())

		sum := rpc.sum.CallClientStream(ctx)
		for i := range int64(100) {
			require.NoError(t, sum.Send(wrapperspb.Int64(i)))
		}
		total, err := sum.CloseAndReceive()
		require.NoError(t, err)
		assert.Equal(t, int64(4950), total.Msg.Value)
	})
}

// TestConnectChat: the server answers while the request's body is being sent.
func TestConnectChat(t *testing.T) {
	eachRPC(t, func(t *testing.T, c *client, rpc *rpc, _ <-chan error) {
		chat := rpc.chat.CallBidiStream(deadline(t))
		if !multiplexed(c) {
			require.NoError(t, chat.CloseRequest())
			_, err := chat.Receive()
			require.ErrorContains(t, err, "505", "the server wants HTTP/2")
			chat.CloseResponse()
			return
		}
		for i := range 20 {
			message := fmt.Sprint("message ", i)
			require.NoError(t, chat.Send(wrapperspb.String(message)))
			answer, err := chat.Receive()
			require.NoError(t, err)
			assert.Equal(t, "re: "+message, answer.Value)
		}
		require.NoError(t, chat.CloseRequest())
		_, err := chat.Receive()
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, "after the talk", chat.ResponseTrailer().Get("Answer-Trailer"))
		require.NoError(t, chat.CloseResponse())
	})
}

// TestConnectCanceled: both ends see the end of a call's context.
func TestConnectCanceled(t *testing.T) {
	eachRPC(t, func(t *testing.T, c *client, rpc *rpc, ended <-chan error) {
		ctx, cancel := context.WithCancel(deadline(t))
		stream, err := rpc.hang.CallServerStream(ctx, connect.NewRequest(wrapperspb.String("")))
		require.NoError(t, err)
		require.True(t, stream.Receive())
		assert.Equal(t, "hanging", stream.Msg().Value)
		cancel()
		assert.False(t, stream.Receive())
		assert.Equal(t, connect.CodeCanceled, connect.CodeOf(stream.Err()), "%v", stream.Err())
		require.ErrorIs(t, stream.Err(), context.Canceled)
		stream.Close()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// TestConnectChatCanceled: the end of a call's context while the transport waits for more of
// the request's body.
func TestConnectChatCanceled(t *testing.T) {
	each(t, []testserver.Kind{testserver.H2, testserver.H2C}, func(t *testing.T, c *client) {
		s, rt := c.serve(t, rpcHandler(nil))
		ctx, cancel := context.WithCancel(deadline(t))
		chat := newRPC(s.URL, rt, connect.WithGRPC()).chat.CallBidiStream(ctx)
		require.NoError(t, chat.Send(wrapperspb.String("hello")))
		_, err := chat.Receive()
		require.NoError(t, err)
		cancel()
		_, err = chat.Receive()
		assert.Equal(t, connect.CodeCanceled, connect.CodeOf(err), "%v", err)
		require.Eventually(t, func() bool { return chat.Send(wrapperspb.String("more")) != nil }, waitFor, tick, "the body is closed")
		chat.CloseRequest()
		chat.CloseResponse()
	})
}

func TestConnectAborted(t *testing.T) {
	eachRPC(t, func(t *testing.T, c *client, rpc *rpc, _ <-chan error) {
		stream, err := rpc.abort.CallServerStream(deadline(t), connect.NewRequest(wrapperspb.String("")))
		require.NoError(t, err)
		require.True(t, stream.Receive())
		assert.False(t, stream.Receive())
		assert.Equal(t, connect.CodeInternal, connect.CodeOf(stream.Err()), "%v", stream.Err())
		stream.Close()
	})
}

func TestConnectUnavailable(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		_, rt := c.serve(t, http.NotFoundHandler())
		rpc := newRPC("http://"+testserver.Refusing(t), rt)
		_, err := rpc.upper.CallUnary(deadline(t), connect.NewRequest(wrapperspb.String("hello")))
		assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	})
}
