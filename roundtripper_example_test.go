package netreply_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/netreply/netreply"
)

// A Manager as the Transport of an http.Client, which follows redirects and keeps cookies
// itself. OnSignal tells of each request.
func ExampleManager_RoundTripper() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/here" {
			http.Redirect(w, r, "/there", http.StatusFound)
			return
		}
		io.WriteString(w, "text")
	}))
	defer s.Close()
	m, err := netreply.NewManager(netreply.Config{OnSignal: func(r *netreply.Reply, e netreply.Event) {
		if head, ok := e.(netreply.MetaDataChanged); ok { // before RoundTrip returns
			fmt.Println(r.URL().Path, head.StatusCode)
		}
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{})}
	resp, err := client.Get(s.URL + "/here")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output:
	// /here 302
	// /there 200
	// text <nil>
}

// A connection that speaks another protocol after an upgrade.
func ExampleReply_Upgraded() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buf.ReadString('\n')
		io.WriteString(conn, line)
	}))
	defer s.Close()
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	req, err := netreply.NewRequest(s.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Headers = netreply.NewHeaders("Connection", "Upgrade", "Upgrade", "echo")
	conn, err := m.Get(context.Background(), req).Upgraded()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	io.WriteString(conn, "hello\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Printf("%q %v\n", line, err)
	// Output: "hello\n" <nil>
}
