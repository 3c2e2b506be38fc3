package netreply_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// place lists what a package may import: exactly imports of this module and others, and of
// the standard library everything except never.
type place struct {
	imports string
	never   string
}

// house has every package of this module, without tests and nested modules. Imports go
// downwards only: the public package imports flow, flow imports auth, pipe and wire. A name
// with /... means all packages in it.
var house = map[string]place{
	// Public packages.
	".": {imports: `cookies headers hsts httpcache
		internal/auth internal/cacherules internal/certs internal/charset internal/coding internal/dial internal/filename internal/flow internal/httpauth internal/httpurl
		internal/journal internal/oserr internal/pipe internal/reqctx internal/scheme internal/wire
		golang.org/x/net/http/httpguts golang.org/x/net/http/httpproxy`},
	"cookies":      {imports: "internal/atomicfile internal/indexheap internal/site golang.org/x/net/publicsuffix"},
	"headers":      {imports: "golang.org/x/net/http/httpguts", never: "net os"},
	"hsts":         {imports: "internal/atomicfile internal/filelock internal/indexheap internal/site golang.org/x/net/publicsuffix", never: "net/http"},
	"netreplytest": {imports: ". golang.org/x/net/http/httpguts golang.org/x/net/http2 golang.org/x/net/http2/hpack", never: "testing"},
	"httpcache":    {imports: "headers internal/cacheentry internal/cacherules internal/filelock"},
	"httpserver":   {imports: "headers internal/atomicfile internal/filename golang.org/x/net/http/httpguts golang.org/x/time/rate"},

	// One exchange over HTTP.
	"internal/flow": {imports: `headers hsts httpcache
		internal/auth internal/cacheentry internal/cacherules internal/certs internal/coding internal/dial internal/httpauth internal/httpurl internal/pipe internal/reqctx internal/wire
		golang.org/x/net/http/httpguts`,
		never: "os"},

	// Decisions, without I/O.
	"internal/cacheentry": {imports: "headers internal/cacherules", never: "net net/http os"},
	"internal/cacherules": {imports: "headers internal/httpurl", never: "net os"},
	"internal/auth":       {imports: "internal/httpauth internal/httpurl", never: "net os"},
	"internal/httpauth":   {imports: "github.com/Azure/go-ntlmssp golang.org/x/net/http/httpguts", never: "net net/http os"},
	"internal/httpurl":    {imports: "golang.org/x/net/idna", never: "net os"},
	"internal/certs":      {never: "net/http os"},
	"internal/filename":   {never: "net net/http os"},
	"internal/site":       {imports: "golang.org/x/net/idna", never: "net net/http os"},

	// Bytes and containers, without HTTP.
	"internal/pipe":    {never: "net net/http os"},
	"internal/journal": {never: "net net/http os"},
	"internal/reqctx":  {never: "net net/http os"},
	"internal/coding": {imports: `github.com/andybalholm/brotli
		github.com/klauspost/compress/flate github.com/klauspost/compress/gzip github.com/klauspost/compress/zlib github.com/klauspost/compress/zstd`,
		never: "net net/http os"},
	"internal/charset": {imports: `golang.org/x/text/encoding golang.org/x/text/encoding/htmlindex
		golang.org/x/text/encoding/unicode golang.org/x/text/transform`,
		never: "net net/http os"},
	"internal/indexheap": {never: "net net/http os"},

	// What URLs lead to that are not HTTP.
	"internal/scheme": {never: "net"},

	// Connections.
	"internal/wire": {imports: `headers internal/certs internal/dial internal/oserr internal/reqctx
		golang.org/x/net/http/httpguts golang.org/x/net/http2/hpack`},
	"internal/dial": {imports: "internal/httpauth internal/oserr golang.org/x/net/http/httpguts", never: "os"},

	// The operating system.
	"internal/oserr":      {never: "net net/http os"},
	"internal/atomicfile": {imports: "internal/filelock", never: "net net/http"},
	"internal/filelock":   {never: "net net/http"},

	// For tests; not imported by any package above.
	"docs":                     {},
	"internal/api":             {},
	"httpcache/storetest":      {imports: "httpcache"},
	"internal/testserver":      {imports: "internal/oserr go.uber.org/goleak"},
	"internal/conformance/...": {imports: ". cookies hsts httpcache internal/conformance/... internal/oserr golang.org/x/net/http2 golang.org/x/net/http2/hpack"},
}

// TestHouse: every package imports what house says.
func TestHouse(t *testing.T) {
	const module = "github.com/netreply/netreply"
	used := map[string]map[string]bool{} // the used rows of house, and their used imports
	for dir, imports := range packageImports(t) {
		row := houseRow(dir)
		rules, ok := house[row]
		if !ok {
			t.Errorf("%s: no row in house says what it may import", dir)
			continue
		}
		if used[row] == nil {
			used[row] = map[string]bool{}
		}
		allowed, never := strings.Fields(rules.imports), strings.Fields(rules.never)
		for _, name := range imports {
			first, _, _ := strings.Cut(name, "/")
			switch {
			case name == module:
				name = "."
			case strings.HasPrefix(name, module+"/"):
				name = houseRow(strings.TrimPrefix(name, module+"/"))
			case !strings.Contains(first, "."): // the standard library
				assert.NotContains(t, never, name, "%s imports %s", dir, name)
				continue
			}
			used[row][name] = true
			assert.Contains(t, allowed, name, "%s imports %s", dir, name)
		}
	}
	for row, rules := range house {
		if used[row] == nil {
			t.Errorf("%s: house has a row, but there is no such package", row)
			continue
		}
		for _, name := range strings.Fields(rules.imports) {
			assert.True(t, used[row][name], "%s does not import %s", row, name)
		}
	}
}

// houseRow is the key of house for a package.
func houseRow(dir string) string {
	for row := range house {
		if tree, ok := strings.CutSuffix(row, "/..."); ok && (dir == tree || strings.HasPrefix(dir, tree+"/")) {
			return row
		}
	}
	return dir
}

// packageImports lists, by directory, what the packages of this module import on any system,
// without their tests.
func packageImports(t *testing.T) map[string][]string {
	all := map[string]map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(file, "go.mod"))
			if file != "." && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		dir := path.Dir(filepath.ToSlash(file))
		if all[dir] == nil {
			all[dir] = map[string]bool{}
		}
		if strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			all[dir][name] = true
		}
		return nil
	})
	require.NoError(t, err)
	lists := map[string][]string{}
	for dir, names := range all {
		lists[dir] = slices.Sorted(maps.Keys(names))
	}
	return lists
}
