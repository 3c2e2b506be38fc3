// Command benchclient runs one workload with one client and prints one JSON
// line. The driver (cmd/benchrun) starts a fresh process for every
// measurement, so CPU time and peak memory belong to that one cell.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/netreply/netreply/bench/peers"
)

type result struct {
	Client      string             `json:"client"`
	Work        string             `json:"work"`
	Ops         int64              `json:"ops"`
	Bytes       int64              `json:"bytes"`
	Wall        float64            `json:"wall_s"`
	User        float64            `json:"user_s"`
	Sys         float64            `json:"sys_s"`
	MaxRSS      float64            `json:"maxrss_kb"`
	Allocs      float64            `json:"allocs"`
	AllocB      float64            `json:"alloc_b"`
	Extra       map[string]float64 `json:"extra,omitempty"`
	Err         string             `json:"err,omitempty"`
	Unsupported bool               `json:"unsupported,omitempty"`
}

type sink struct {
	n     int64
	first time.Time
}

func (s *sink) Write(p []byte) (int, error) {
	if s.n == 0 {
		s.first = time.Now()
	}
	s.n += int64(len(p))
	return len(p), nil
}

// source is a plain io.Reader of n bytes.
type source struct {
	n   int64
	buf []byte
}

func (s *source) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.n {
		p = p[:s.n]
	}
	n := copy(p, s.buf)
	s.n -= int64(n)
	return n, nil
}

func cpu() (user, sys float64) {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	f := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return f(ru.Utime), f(ru.Stime)
}

// maxRSS is the peak of this program. (ru_maxrss is not: it carries over what
// the parent had before exec.)
func maxRSS() float64 { return status("VmHWM:") }

func rss() float64 { return status("VmRSS:") }

func status(key string) float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, key) {
			v, _ := strconv.ParseFloat(strings.Fields(l)[1], 64)
			return v
		}
	}
	return 0
}

// measure runs f between two readings of the clocks and counters.
func (r *result) measure(f func() error) {
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)
	u0, s0 := cpu()
	t0 := time.Now()
	err := f()
	r.Wall = time.Since(t0).Seconds()
	u1, s1 := cpu()
	runtime.ReadMemStats(&m1)
	r.User, r.Sys = u1-u0, s1-s0
	r.Allocs, r.AllocB = float64(m1.Mallocs-m0.Mallocs), float64(m1.TotalAlloc-m0.TotalAlloc)
	r.fail(err)
}

func (r *result) fail(err error) {
	if err == nil {
		return
	}
	if errors.Is(err, peers.ErrUnsupported) {
		r.Unsupported = true
		return
	}
	r.Err = err.Error()
}

func main() {
	client := flag.String("client", "nethttp", "client name; -list shows them")
	work := flag.String("work", "seq", "workload")
	plain := flag.String("plain", "", "base address, plain HTTP/1.1")
	tls1 := flag.String("tls", "", "base address, TLS HTTP/1.1")
	h2 := flag.String("h2", "", "base address, TLS HTTP/2")
	ca := flag.String("ca", "", "CA certificate file")
	size := flag.Int64("bytes", 2<<30, "bytes to transfer in dl-*, ul-*, gzip")
	dur := flag.Duration("dur", time.Second, "length of the timed workloads")
	tmp := flag.String("tmp", os.TempDir(), "folder for dl-file")
	list := flag.Bool("list", false, "list the clients without a cache")
	caching := flag.Bool("caching", false, "list those with a cache")
	flag.Parse()
	if *list || *caching {
		fmt.Println(strings.Join(peers.Names(*caching), " "))
		return
	}
	r := &result{Client: *client, Work: *work, Extra: map[string]float64{}}
	defer func() {
		if r.MaxRSS == 0 {
			r.MaxRSS = maxRSS()
		}
		json.NewEncoder(os.Stdout).Encode(r)
	}()
	p, err := peers.New(*client, peers.Config{CAFile: *ca})
	if err != nil {
		r.fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	defer p.Close()
	// fasthttp speaks no HTTP/2: without this it would measure HTTP/1.1.
	if *client == "fasthttp" && strings.Contains(*work, "h2") {
		r.Unsupported = true
		return
	}

	// warm opens a connection; it also checks the small body.
	warm := func(base string) bool {
		for i := 0; i < 20; i++ {
			b, err := p.Get(ctx, base+"/small")
			if err != nil || len(b) != 1024 {
				r.fail(fmt.Errorf("warm-up: %d bytes, %w", len(b), errOr(err)))
				return false
			}
		}
		return true
	}
	get := func(url string) error {
		b, err := p.Get(ctx, url)
		if err == nil && len(b) != 1024 {
			err = fmt.Errorf("body of %d bytes", len(b))
		}
		return err
	}
	concurrent := func(base string, workers int) {
		if !warm(base) {
			return
		}
		r.measure(func() error {
			var wg sync.WaitGroup
			var ops atomic.Int64
			var first atomic.Value
			end := time.Now().Add(*dur)
			for i := 0; i < workers; i++ {
				wg.Add(1)
				go func() {
					defer wg.Done()
					n := int64(0)
					for time.Now().Before(end) && n < 1_000_000 {
						if err := get(base + "/small"); err != nil {
							first.CompareAndSwap(nil, err)
							break
						}
						n++
					}
					ops.Add(n)
				}()
			}
			wg.Wait()
			r.Ops = ops.Load()
			if e, ok := first.Load().(error); ok {
				return e
			}
			return nil
		})
	}
	serial := func(url func() string) {
		r.measure(func() error {
			end := time.Now().Add(*dur)
			for time.Now().Before(end) && r.Ops < 1_000_000 {
				if err := get(url()); err != nil {
					return err
				}
				r.Ops++
			}
			return nil
		})
	}
	same := func(url string) func() string { return func() string { return url } }
	next := func(url string) func() string { // another one each time
		return func() string { return url + strconv.FormatInt(r.Ops, 10) }
	}
	download := func(url string, want int64, progress func(int64)) {
		r.measure(func() error {
			s := &sink{}
			n, err := p.Download(ctx, url, s, progress)
			r.Bytes, r.Ops = s.n, 1
			if err == nil && (n != want || s.n != want) {
				err = fmt.Errorf("%d of %d bytes (returned %d)", s.n, want, n)
			}
			return err
		})
	}
	N := strconv.FormatInt(*size, 10)
	switch *work {
	case "seq":
		if warm(*plain) {
			serial(same(*plain + "/small"))
		}
	case "redirect":
		if warm(*plain) {
			serial(same(*plain + "/redirect/10"))
		}
	case "cache-hit":
		if url := *plain + "/cache/max-age=86400/1024/hit"; warm(*plain) && get(url) == nil {
			serial(same(url))
		}
	case "cache-miss":
		if warm(*plain) {
			serial(next(*plain + "/cache/max-age=86400/1024/"))
		}
	case "cache-nostore":
		if warm(*plain) {
			serial(next(*plain + "/cache/no-store/1024/"))
		}
	case "cache-body": // read several times, of which the first is not measured
		url, times := *plain+"/cache/max-age=86400/"+N+"/body", int64(5)
		read := func() error {
			s := &sink{}
			n, err := p.Download(ctx, url, s, nil)
			if err == nil && (n != *size || s.n != *size) {
				err = fmt.Errorf("%d of %d bytes (returned %d)", s.n, *size, n)
			}
			return err
		}
		if err := read(); err != nil {
			r.fail(err)
			return
		}
		r.measure(func() error {
			for ; r.Ops < times; r.Ops++ {
				if err := read(); err != nil {
					return err
				}
				r.Bytes += *size
			}
			return nil
		})
	case "conc64":
		concurrent(*plain, 64)
	case "conc512":
		concurrent(*plain, 512)
	case "h2mux":
		concurrent(*h2, 64)
	case "dl-h1":
		download(*plain+"/bytes/"+N, *size, nil)
	case "dl-chunked":
		download(*plain+"/chunked/"+N, *size, nil)
	case "dl-tls":
		download(*tls1+"/bytes/"+N, *size, nil)
	case "dl-h2":
		download(*h2+"/bytes/"+N, *size, nil)
	case "dl-prog":
		var calls, last int64
		download(*plain+"/bytes/"+N, *size, func(n int64) { calls++; last = n })
		r.Extra["calls"] = float64(calls)
		if r.Err == "" && !r.Unsupported && last != *size {
			r.fail(fmt.Errorf("progress ended at %d of %d", last, *size))
		}
	case "gzip":
		if *client == "fasthttp" { // decodes only whole bodies, on request
			r.Unsupported = true
			return
		}
		download(*plain+"/gzip/"+N, *size, nil)
	case "dl-file":
		f := filepath.Join(*tmp, "bench-"+*client+"-"+strconv.Itoa(os.Getpid()))
		defer os.Remove(f)
		r.measure(func() error {
			n, err := p.DownloadFile(ctx, *plain+"/bytes/"+N, f)
			r.Bytes, r.Ops = n, 1
			if st, e := os.Stat(f); err == nil && (e != nil || st.Size() != *size) {
				err = errors.New("the file has the wrong size")
			}
			return err
		})
	case "ul-h1", "ul-tls", "ul-h2":
		base := map[string]string{"ul-h1": *plain, "ul-tls": *tls1, "ul-h2": *h2}[*work]
		buf := make([]byte, 256<<10)
		r.measure(func() error {
			r.Bytes, r.Ops = *size, 1
			return p.Upload(ctx, base+"/upload", &source{*size, buf}, *size)
		})
	case "ttfb": // time until the first body byte reaches the caller, 1 MiB bodies
		if !warm(*plain) {
			return
		}
		var d []float64
		r.measure(func() error {
			for i := 0; i < 400; i++ {
				s := &sink{}
				t := time.Now()
				if _, err := p.Download(ctx, *plain+"/bytes/1048576", s, nil); err != nil {
					return err
				}
				d = append(d, float64(s.first.Sub(t).Nanoseconds())/1e3)
				r.Ops++
			}
			return nil
		})
		if len(d) > 0 {
			sort.Float64s(d)
			r.Extra["ttfb_p50_us"], r.Extra["ttfb_p99_us"] = d[len(d)/2], d[len(d)*99/100]
		}
	case "slow-h1", "slow-h2":
		base := map[string]string{"slow-h1": *plain, "slow-h2": *h2}[*work]
		if !warm(base) {
			return
		}
		http.Get(*plain + "/peak")
		const n = 1000
		runtime.GC()
		g0, rss0 := runtime.NumGoroutine(), rss()
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		r.measure(func() error {
			var wg sync.WaitGroup
			var bad atomic.Value
			for i := 0; i < n; i++ {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := get(base + "/slow?ms=2500"); err != nil {
						bad.CompareAndSwap(nil, err)
					}
				}()
			}
			time.Sleep(1500 * time.Millisecond)
			g1, rss1 := runtime.NumGoroutine(), rss()
			runtime.GC()
			runtime.ReadMemStats(&m1)
			r.Extra["goroutines"] = float64(g1-g0) / n
			r.Extra["rss_kb"] = (rss1 - rss0) / n
			r.Extra["live_heap_kb"] = (float64(m1.HeapAlloc) - float64(m0.HeapAlloc)) / n / 1024
			r.Extra["stack_kb"] = (float64(m1.StackInuse) - float64(m0.StackInuse)) / n / 1024
			wg.Wait()
			r.Ops = n
			if e, ok := bad.Load().(error); ok {
				return e
			}
			return nil
		})
		if resp, err := http.Get(*plain + "/peak"); err == nil {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			r.Extra["peak"], _ = strconv.ParseFloat(string(b), 64)
		}
	default:
		r.fail(errors.New("no such workload: " + *work))
	}
}

func errOr(err error) error {
	if err == nil {
		return errors.New("wrong size")
	}
	return err
}
