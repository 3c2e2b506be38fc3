// proxy fetches a URL through a proxy, and distinguishes failures of the proxy from those
// of the server. It asks for the password of the proxy on the terminal. Without arguments
// it uses its own proxy and server; with only a URL it uses the environment (HTTPS_PROXY
// and others).
//
//	proxy [-proxy URL] [URL]
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpserver"
)

func main() {
	proxy := flag.String("proxy", "", "http, https or socks5 URL of the proxy")
	flag.Parse()
	if err := run(context.Background(), *proxy, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, proxy, url string) error {
	cfg := netreply.Config{Ask: netreply.AskProxyAuthentication, ProxyFactory: netreply.ProxyFromEnvironment}
	if url == "" {
		return demo(ctx, cfg)
	}
	if proxy != "" {
		p, err := netreply.ParseProxy(proxy)
		if err != nil {
			return err
		}
		cfg.Proxy, cfg.ProxyFactory = p, nil
	}
	m, err := netreply.NewManager(cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	return fetch(ctx, m, url)
}

// demo shows the failures of a proxy.
func demo(ctx context.Context, cfg netreply.Config) error {
	server := httptest.NewTLSServer(httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		w.WriteData([]byte("hello through a tunnel"), "text/plain")
	}))
	defer server.Close()
	p := httptest.NewServer(http.HandlerFunc(tunnel))
	defer p.Close()
	var err error
	if cfg.Proxy, err = netreply.ParseProxy(p.URL); err != nil {
		return err
	}
	cfg.ProxyFactory = nil
	cfg.SSLConfiguration = &netreply.SSLConfiguration{TLS: server.Client().Transport.(*http.Transport).TLSClientConfig}
	m, err := netreply.NewManager(cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	fmt.Println("the demonstration's proxy wants the user gopher and the password burrow")
	for _, url := range []string{server.URL, "https://forbidden.example/", "https://127.0.0.1:1/"} {
		fmt.Println(url)
		if err := fetch(ctx, m, url); err != nil {
			fmt.Println(" ", err)
		}
	}
	p.Close()
	fmt.Println("and when the proxy is gone:")
	m.ClearConnectionCache()
	if err := fetch(ctx, m, server.URL); !errors.Is(err, netreply.ProxyConnectionRefusedError) {
		return fmt.Errorf("expected a failure of the closed proxy, got %w", err)
	}
	fmt.Println("  ProxyConnectionRefusedError, not the server's fault")
	return nil
}

func fetch(ctx context.Context, m *netreply.Manager, url string) error {
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	reply := m.Get(ctx, req)
	for q := range reply.ProxyAuthenticationRequired() { // closed when no more questions can follow
		if q.PreviousFailed {
			fmt.Printf("%s was refused.\n", q.User)
		}
		fmt.Printf("The proxy %s wants a password (%s).\n", q.Proxy.Host, q.Scheme)
		user, password := ask("user: "), ask("password: ")
		if user == "" {
			q.Cancel()
			continue
		}
		q.SetCredentials(user, password)
	}
	body, err := reply.ReadAll()
	if why := reply.ProxyResponse(); why != nil {
		fmt.Printf("  the proxy says: %d %s\n", why.StatusCode, strings.TrimSpace(string(why.Body)))
	}
	if err != nil {
		return err
	}
	fmt.Printf("  %s\n", body)
	return nil
}

var terminal = bufio.NewReader(os.Stdin)

func ask(what string) string {
	fmt.Print(what)
	line, _ := terminal.ReadString('\n')
	return strings.TrimSpace(line)
}

// tunnel is a proxy with one user and one forbidden target.
func tunnel(w http.ResponseWriter, r *http.Request) {
	known := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	if user, password, _ := known.BasicAuth(); user != "gopher" || password != "burrow" {
		w.Header().Set("Proxy-Authenticate", `Basic realm="the way out"`)
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	if strings.HasPrefix(r.Host, "forbidden.") {
		http.Error(w, "nobody goes there", http.StatusForbidden)
		return
	}
	to, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, "nobody is there", http.StatusServiceUnavailable)
		return
	}
	defer to.Close()
	from, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { io.Copy(to, rw); to.Close() }()
	io.Copy(from, to)
}
