// login fetches a page that requires a password, and asks for it on the terminal. The
// cookies of the server are saved in a file. Without arguments it uses its own server.
//
//	login [-cookies FILE] [URL]
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/httpserver"
)

func main() {
	file := flag.String("cookies", "", "file to keep cookies in")
	flag.Parse()
	if err := run(context.Background(), *file, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "login:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file, url string) error {
	if url == "" {
		srv := httptest.NewServer(server())
		defer srv.Close()
		url = srv.URL + "/account"
		fmt.Println("the demonstration wants the user gopher and the password burrow")
	}
	if file == "" {
		dir, err := os.MkdirTemp("", "login")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file = filepath.Join(dir, "cookies")
	}
	jar := cookies.NewJar(cookies.Options{})
	if err := jar.Load(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m, err := netreply.NewManager(netreply.Config{CookieJar: jar, Ask: netreply.AskAuthentication})
	if err != nil {
		return err
	}
	defer m.Close()

	if err := fetch(ctx, m, url); err != nil {
		return err
	}
	fmt.Println("once more, without a question:")
	if err := fetch(ctx, m, url); err != nil {
		return err
	}
	for c := range jar.All() {
		fmt.Printf("cookie %s of %s, kept: %v\n", c.Name, c.Domain, !c.Session())
	}
	return jar.Save(file, false)
}

var terminal = bufio.NewReader(os.Stdin)

func fetch(ctx context.Context, m *netreply.Manager, url string) error {
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	reply := m.Get(ctx, req)
	for q := range reply.AuthenticationRequired() { // closed when no more questions can follow
		if q.PreviousFailed {
			fmt.Printf("%s was refused.\n", q.User)
		}
		fmt.Printf("%s wants a password for %q (%s).\n", q.URL.Host, q.Realm, q.Scheme)
		user, password := ask("user: "), ask("password: ")
		if user == "" {
			q.Cancel()
			continue
		}
		q.SetCredentials(user, password)
	}
	body, err := reply.ReadAll()
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", body)
	return nil
}

func ask(what string) string {
	fmt.Print(what)
	line, _ := terminal.ReadString('\n')
	return strings.TrimSpace(line)
}

// server has one account.
func server() http.Handler {
	return httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		user, password, _ := r.BasicAuth()
		if user != "gopher" || password != "burrow" {
			w.WriteHeaders(netreply.NewHeaders("WWW-Authenticate", `Basic realm="the burrow", charset="UTF-8"`), httpserver.Unauthorized)
			return
		}
		visits := 0
		if c, err := r.Cookie("visits"); err == nil {
			fmt.Sscan(c.Value, &visits)
		}
		visits++
		w.WriteDataWith(fmt.Appendf(nil, "welcome, %s, for the %d. time", user, visits), netreply.NewHeaders(
			"Set-Cookie", fmt.Sprintf("visits=%d; Max-Age=86400", visits), "Set-Cookie", "session=42"))
	})
}
