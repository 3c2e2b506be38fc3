// redirects asks on the terminal before it follows a redirect:
//
//	redirects [URL]
//
// Without a URL it uses its own server. Any answer that does not begin with y, or the end
// of the input, denies.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"

	"github.com/netreply/netreply"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "redirects:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader) error {
	url := ""
	if len(args) > 0 {
		url = args[0]
	} else {
		srv := httptest.NewServer(server())
		defer srv.Close()
		url = srv.URL + "/start"
	}
	m, err := netreply.NewManager(netreply.Config{RedirectPolicy: netreply.UserVerifiedRedirectPolicy})
	if err != nil {
		return err
	}
	defer m.Close()
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	reply := m.Get(ctx, req)
	defer reply.Close()
	answers := bufio.NewScanner(in)
	for d := range reply.Redirected() {
		fmt.Printf("%s redirects (%d) to %s, follow? [y/N] ", d.From, d.StatusCode, d.URL)
		if answers.Scan() && strings.HasPrefix(strings.ToLower(answers.Text()), "y") {
			d.Allow()
		} else {
			d.Deny()
		}
		fmt.Println()
	}
	body, err := reply.ReadAll()
	if errors.Is(err, netreply.OperationCanceledError) {
		target, _ := netreply.RedirectionTarget.Of(reply)
		fmt.Printf("not followed to %s\n", target)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Printf("%d bytes from %s\n", len(body), reply.URL())
	return nil
}

func server() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/start", http.RedirectHandler("/login", http.StatusFound))
	mux.Handle("/login", http.RedirectHandler("/home", http.StatusSeeOther))
	mux.HandleFunc("/home", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "welcome") })
	return mux
}
