package hsts_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/hsts"
)

// storeFile is the environment variable with the file to which the child process writes.
const storeFile = "NETREPLY_TEST_HSTS"

func TestMain(m *testing.M) {
	if file := os.Getenv(storeFile); file != "" {
		if os.Getenv(stuckWriter) != "" {
			writeForever(file)
			os.Exit(0)
		}
		os.Exit(child(file, os.Getenv(storeFile+"_NAME")))
	}
	goleak.VerifyTestMain(m)
}

// child learns 50 hosts in its own process, and reports when they are in the file.
func child(file, name string) int {
	s, err := hsts.Open(file)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for i := range 50 {
		s.Learn(fmt.Sprintf("%s%d.example", name, i), []string{"max-age=1000"})
		if i%10 > 0 {
			continue // saved with the next change
		}
		if err := s.Flush(context.Background()); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("flushed", i)
	}
	if err := s.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestParse is the grammar of RFC 6797, section 6.1.
func TestParse(t *testing.T) {
	for value, want := range map[string]string{
		"max-age=31536000":                      "8760h0m0s false",
		"max-age=15768000 ; includeSubDomains":  "4380h0m0s true",
		`max-age="100"`:                         "1m40s false",
		`max-age="1\00"`:                        "1m40s false",
		"max-age=0; includeSubDomains":          "0s true",
		"MAX-AGE=1;INCLUDESUBDOMAINS":           "1s true",
		";; max-age=1 ;; ;":                     "1s false",
		"max-age = 1":                           "1s false",
		"includeSubDomains=whatever; max-age=1": "1s true",
		`max-age=1; preload; x="a;b"; y=z`:      "1s false",
		"max-age=99999999999999999999":          "876000h0m0s false",
		"":                                      "-",
		"includeSubDomains":                     "-",
		"max-age":                               "-",
		"max-age=":                              "-",
		`max-age=""`:                            "-",
		"max-age=-1":                            "-",
		"max-age=1.5":                           "-",
		"max-age=1 max-age=2":                   "-",
		"max-age=1; max-age=1":                  "-",
		"max-age=1; includeSubDomains; includesubdomains": "-",
		"max-age=1, includeSubDomains":                    "-",
		`max-age="1`:                                      "-",
		"max-age=1; =x":                                   "-",
		"max-age=1; x=":                                   "-",
		"max-age=1; x y":                                  "-",
		"max-age=1; x=" + strings.Repeat("y", 8<<10):      "-",
		"max-age=1; preload; preload":                     "-",
	} {
		age, sub, ok := hsts.Parse(value)
		got := "-"
		if ok {
			got = fmt.Sprint(age, " ", sub)
		}
		assert.Equal(t, want, got, value)
	}
}

func TestKnown(t *testing.T) {
	s := hsts.NewStore()
	later := time.Now().Add(time.Hour)
	s.Add(hsts.Policy{Host: "Plain.Example", Expires: later}, hsts.Policy{Host: "all.example.", IncludeSubdomains: true, Expires: later},
		hsts.Policy{Host: "bücher.example", Expires: later}, hsts.Policy{Host: "127.0.0.1", Expires: later}, hsts.Policy{Host: "::1", Expires: later},
		hsts.Policy{Host: "", Expires: later}, hsts.Policy{Host: "over.example", Expires: time.Now()})
	for host, want := range map[string]bool{
		"plain.example": true, "PLAIN.EXAMPLE.": true, "www.plain.example": false, "example": false, "all.example": true, "a.b.all.example": true,
		"overall.example": false, "xn--bcher-kva.example": true, "BÜCHER.example": true, "127.0.0.1": false, "::1": false, "": false, "over.example": false,
		"127.0.0.1.": false, "127.1": false, "0x7f.1": false, "b.all.example.": true, ".all.example": false, "b..all.example": false, "plain.example..": false,
		strings.Repeat("a.", 50_000) + "all.example": false,
	} {
		assert.Equal(t, want, s.Known(host), host)
	}
	for in, want := range map[string]string{
		"http://plain.example": "https://plain.example", "http://plain.example:80/x?q": "https://plain.example:443/x?q",
		"http://plain.example:8080/": "https://plain.example:8080/", "https://plain.example:80/": "https://plain.example:80/", "http://other/": "http://other/",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		assert.Equal(t, want, s.Upgrade(u).String())
		assert.Equal(t, in, u.String(), "the URL given stays")
	}
	var names []string
	for p := range s.All() {
		names = append(names, p.Host)
	}
	assert.Equal(t, []string{"all.example", "plain.example", "xn--bcher-kva.example"}, names)
	s.Remove("plain.example")
	assert.False(t, s.Known("plain.example"))
	s.Add(hsts.Policy{Host: "all.example"})
	assert.False(t, s.Known("all.example"), "rule K8")
	s.Clear()
	assert.False(t, s.Known("xn--bcher-kva.example"))
}

func TestLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hsts.NewStore()
		require.False(t, s.Learn("a.example", nil))
		require.False(t, s.Learn("a.example", []string{"nonsense ="}))
		require.False(t, s.Learn("a.example", []string{"max-age=0"}))
		require.False(t, s.Learn("192.0.2.1", []string{"max-age=100"}))
		require.True(t, s.Learn("a.example", []string{"broken;;=", "max-age=100", "max-age=0"}), "the first valid one")
		require.True(t, s.Known("a.example"))
		require.False(t, s.Learn("a.example", []string{"max-age=100"}), "nothing new")
		time.Sleep(50 * time.Second)
		require.True(t, s.Learn("a.example", []string{"max-age=100; includeSubDomains"}))
		require.True(t, s.Known("b.a.example"))
		time.Sleep(99 * time.Second)
		require.True(t, s.Known("a.example"))
		time.Sleep(time.Second)
		require.False(t, s.Known("a.example"))
		s.Learn("a.example", []string{"max-age=100"})
		require.True(t, s.Learn("a.example", []string{"max-age=50"}), "a shorter one counts, too")
		require.True(t, s.Learn("a.example", []string{"max-age=0"}))
		require.False(t, s.Known("a.example"))
	})
}

// TestOneSite: the hosts of one site do not displace the policy of another.
func TestOneSite(t *testing.T) {
	s := hsts.NewStore()
	s.Learn("victim.example", []string{"max-age=1000"})
	for i := range 10_100 {
		s.Learn(fmt.Sprintf("x%d.evil.example", i), []string{"max-age=3153600000"})
	}
	assert.True(t, s.Known("victim.example"))
}

func TestLimit(t *testing.T) {
	s := hsts.NewStore()
	var all []hsts.Policy
	for i := range 10_050 {
		all = append(all, hsts.Policy{Host: fmt.Sprintf("h%d.example", i), Expires: time.Now().Add(time.Duration(i+100) * time.Second)})
	}
	s.Add(all...)
	n := 0
	for range s.All() {
		n++
	}
	assert.Equal(t, 10_000, n)
	assert.False(t, s.Known("h0.example"), "those that end first go first")
	assert.True(t, s.Known("h10049.example"))
}

// open returns a store with a file, which is closed at the end of the test.
func open(t *testing.T, file string) *hsts.Store {
	t.Helper()
	s, err := hsts.Open(file)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	s := open(t, file)
	require.True(t, s.Learn("a.example", []string{"max-age=1000; includeSubDomains"}))
	require.NoError(t, s.Flush(t.Context()))
	require.NoError(t, s.Err())
	o := open(t, file)
	require.True(t, o.Known("x.a.example"))
	o.Learn("b.example", []string{"max-age=1000"})
	o.Remove("a.example")
	require.NoError(t, o.Flush(t.Context()))
	require.False(t, s.Known("b.example"))
	s.Learn("c.example", []string{"max-age=1000"})
	require.NoError(t, s.Flush(t.Context()))
	assert.True(t, s.Known("b.example"), "seen with the next writing")
	assert.False(t, s.Known("a.example"), "and what was removed is not brought back")
	require.NoError(t, o.Reload())
	assert.True(t, o.Known("c.example"))
	o.Clear()
	require.NoError(t, o.Close())
	require.NoError(t, o.Close(), "again")
	for range open(t, file).All() {
		t.Error("not empty")
	}
	assert.True(t, o.Learn("d.example", []string{"max-age=1000"}))
	assert.True(t, o.Known("d.example"), "the store in memory still works")
	require.NoError(t, s.Reload())
	assert.False(t, s.Known("c.example"), "cleared by the other one")
	assert.False(t, s.Known("d.example"), "nothing is written once closed")

	memory := hsts.NewStore()
	memory.Learn("a.example", []string{"max-age=1000"})
	require.NoError(t, memory.Flush(t.Context()))
	require.NoError(t, memory.Reload())
	require.NoError(t, memory.Close())
	assert.True(t, memory.Known("a.example"))
}

func TestDamagedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	s := open(t, file)
	s.Learn("a.example", []string{"max-age=1000"})
	require.NoError(t, s.Flush(t.Context()))
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	bad := []string{"", "x", "{}", strings.Replace(string(whole), "a.example", "127.0.0.1", 1), strings.Replace(string(whole), `"version": 1`, `"version": 9`, 1)}
	for n := 1; n < len(whole)-2; n += 5 {
		bad = append(bad, string(whole[:n]))
	}
	for _, text := range bad {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := hsts.Open(file)
		var fe *hsts.FormatError
		require.ErrorAs(t, err, &fe, text)
		require.ErrorAs(t, s.Reload(), &fe)
		require.True(t, s.Known("a.example"), "what is known stays")
	}
	s.Learn("b.example", []string{"max-age=1000"})
	var fe *hsts.FormatError
	require.ErrorAs(t, s.Flush(t.Context()), &fe)
	require.ErrorAs(t, s.Err(), &fe)
	left, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, bad[len(bad)-1], string(left), "what is not the store's is not overwritten")
}

// TestProcesses: several processes write concurrently, and no policy is lost.
func TestProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), storeFile+"="+file, storeFile+"_NAME="+name)
			out, err := cmd.CombinedOutput()
			assert.NoError(t, err, "%s", out)
		})
	}
	wg.Wait()
	s, err := hsts.Open(file)
	require.NoError(t, err)
	n := 0
	for range s.All() {
		n++
	}
	assert.Equal(t, 150, n)
}

// FuzzParse: no value causes a panic.
func FuzzParse(f *testing.F) {
	f.Add(`max-age="1\0"; includeSubDomains; x="y`)
	f.Fuzz(func(t *testing.T, value string) {
		if age, _, ok := hsts.Parse(value); ok && age < 0 {
			t.Fatal(age)
		}
		hsts.NewStore().Learn("a.example", []string{value})
	})
}

func ExampleStore() {
	s := hsts.NewStore()
	s.Learn("example.org", []string{"max-age=31536000; includeSubDomains"})
	u, _ := url.Parse("http://www.example.org/page")
	fmt.Println(s.Upgrade(u))
	// Output: https://www.example.org/page
}
