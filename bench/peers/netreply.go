package peers

import (
	"context"
	"io"
	"os"

	"github.com/netreply/netreply"
)

// netreplyPeer is this library. Besides the CA these are set: as many connections as
// net/http allows, and the read buffer that its documentation recommends for large bodies.
// With fetch, small requests use the blocking Fetch.
type netreplyPeer struct {
	m     *netreply.Manager
	fetch bool
}

func init() {
	for name, fetch := range map[string]bool{"netreply": false, "netreply-fetch": true} {
		Register(name, func(cfg Config) (Peer, error) {
			m, err := netreply.NewManager(netreply.Config{
				SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg.TLS()}, ConnectionsPerHost: 4096, ReadBufferSize: 1 << 20,
			})
			return &netreplyPeer{m, fetch}, err
		})
	}
}

func (p *netreplyPeer) request(url string) (*netreply.Request, error) {
	req, err := netreply.NewRequest(url)
	if err == nil {
		req.MaxRedirects = 20
	}
	return req, err
}

func (p *netreplyPeer) Get(ctx context.Context, url string) ([]byte, error) {
	req, err := p.request(url)
	if err != nil {
		return nil, err
	}
	if p.fetch {
		return p.m.Fetch(ctx, "GET", req, nil).ReadAll()
	}
	return p.m.Get(ctx, req).ReadAll()
}

func (p *netreplyPeer) Download(ctx context.Context, url string, dst io.Writer, progress func(int64)) (int64, error) {
	req, err := p.request(url)
	if err != nil {
		return 0, err
	}
	r := p.m.Get(ctx, req)
	defer r.Close()
	if progress != nil {
		ch, told := r.DownloadProgress(), make(chan struct{})
		go func() {
			defer close(told)
			for p := range ch {
				progress(p.Done)
			}
		}()
		defer func() { <-told }()
	}
	n, err := io.Copy(dst, r)
	if err != nil {
		return n, err
	}
	return n, r.Wait(ctx)
}

func (p *netreplyPeer) DownloadFile(ctx context.Context, url, path string) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return p.Download(ctx, url, f, nil)
}

func (p *netreplyPeer) Upload(ctx context.Context, url string, body io.Reader, size int64) error {
	req, err := p.request(url)
	if err != nil {
		return err
	}
	req.DoNotBufferUploadData = true
	netreply.ContentLengthHeader.Set(&req.Headers, size)
	_, err = p.m.Fetch(ctx, "POST", req, netreply.ReaderBody(body)).ReadAll()
	return err
}

func (p *netreplyPeer) Close() { p.m.Close() }
