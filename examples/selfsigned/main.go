// selfsigned fetches a page from a server with an untrusted certificate. It shows the flaws
// on the terminal, asks whether to trust this certificate, and saves the answer with the
// fingerprint in a file. Without arguments it uses its own server.
//
//	selfsigned [-known FILE] [URL]
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpserver"
)

func main() {
	known := flag.String("known", "", "file of the certificates that are trusted")
	flag.Parse()
	if err := run(context.Background(), *known, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "selfsigned:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file, url string) error {
	if url == "" {
		srv := httptest.NewTLSServer(httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
			w.WriteData([]byte("hello from a server with a certificate of its own making"), "text/plain")
		}))
		srv.Config.ErrorLog = nil
		defer srv.Close()
		url = srv.URL
	}
	if file == "" {
		dir, err := os.MkdirTemp("", "selfsigned")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file = filepath.Join(dir, "known")
	}
	m, err := netreply.NewManager(netreply.Config{Ask: netreply.AskSSLErrors})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := fetch(ctx, m, file, url); err != nil {
		return err
	}
	fmt.Println("once more, without a question:")
	return fetch(ctx, m, file, url)
}

func fetch(ctx context.Context, m *netreply.Manager, file, rawURL string) error {
	req, err := netreply.NewRequest(rawURL)
	if err != nil {
		return err
	}
	reply := m.Get(ctx, req)
	for q := range reply.SSLErrors() { // closed when no more questions can follow
		trusted, err := trusts(file, req.URL, q)
		if err != nil {
			reply.Close()
			return err
		}
		if trusted {
			q.Ignore() // these flaws of these certificates, for this reply
		} else {
			q.Reject()
		}
	}
	body, err := reply.ReadAll()
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", body)
	return nil
}

// trusts reports whether the certificate is known, or asks.
func trusts(file string, u *url.URL, q *netreply.SSLErrors) (bool, error) {
	if len(q.Chain) == 0 || q.Final {
		return false, nil
	}
	entry := net.JoinHostPort(u.Hostname(), port(u)) + " " + fingerprint(q.Chain[0])
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if slices.Contains(strings.Split(string(data), "\n"), entry) {
		return true, nil
	}
	c := q.Chain[0]
	fmt.Printf("%s is not known to be what it says:\n", q.Host)
	for _, e := range q.Errors {
		fmt.Printf("  - %v (%v)\n", e, e.Code)
	}
	fmt.Printf("Its certificate is for %s, by %s, until %s,\nfingerprint (SHA-256) %s\n", names(c), c.Issuer, c.NotAfter.Format(time.DateOnly), fingerprint(c))
	fmt.Print("Trust this certificate, for this host, from now on? [y/N] ")
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(line) != "y" {
		return false, nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	_, err = fmt.Fprintln(f, entry)
	return err == nil, errors.Join(err, f.Close())
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return "443"
}

func fingerprint(c *x509.Certificate) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(c.Raw)), " ", ":")
}

func names(c *x509.Certificate) string {
	list := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	return strings.Join(list, ", ")
}
