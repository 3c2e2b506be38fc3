package netreply_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// packagePaths are the packages that docs/qt-parity.md may name, by the word before the dot.
var packagePaths = map[string]string{
	"netreply": modulePath, "cookies": modulePath + "/cookies", "headers": modulePath + "/headers",
	"hsts": modulePath + "/hsts", "httpcache": modulePath + "/httpcache", "httpserver": modulePath + "/httpserver", "netreplytest": modulePath + "/netreplytest", "opensslpsk": modulePath + "/opensslpsk",
	"bufio": "bufio", "http": "net/http", "io": "io", "json": "encoding/json", "tls": "crypto/tls", "url": "net/url",
	"x509": "crypto/x509",
}

const modulePath = "github.com/netreply/netreply"

// surface is the exported names of a package, of all platforms together.
type surface struct {
	names  map[string]bool     // "Reply", and "Reply.Abort" for methods and fields
	consts map[string]bool     // names that are constants
	embeds map[string][]string // what a type embeds or is an alias of: "Authenticator", or "crypto/tls.ConnectionState"
}

func newSurface() *surface {
	return &surface{map[string]bool{}, map[string]bool{}, map[string][]string{}}
}

// surfaces parses packages, each once.
type surfaces map[string]*surface

func (all surfaces) of(t *testing.T, path string) *surface {
	if s := all[path]; s != nil {
		return s
	}
	dir, ours := strings.CutPrefix(path, modulePath)
	if ours {
		dir = "." + dir
	} else {
		p, err := build.Import(path, ".", build.FindOnly)
		require.NoError(t, err)
		dir = p.Dir
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, path)
	s := newSurface()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		s.add(f)
	}
	all[path] = s
	return s
}

func (s *surface) add(f *ast.File) {
	imports := map[string]string{}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		imports[name] = path
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				s.names[d.Name.Name] = true
			} else {
				s.names[typeName(d.Recv.List[0].Type, nil)+"."+d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						s.names[n.Name] = true
						s.consts[n.Name] = d.Tok == token.CONST
					}
				case *ast.TypeSpec:
					s.addType(spec, imports)
				}
			}
		}
	}
}

func (s *surface) addType(spec *ast.TypeSpec, imports map[string]string) {
	name := spec.Name.Name
	s.names[name] = true
	if spec.Assign.IsValid() {
		s.embeds[name] = append(s.embeds[name], typeName(spec.Type, imports))
		return
	}
	var members *ast.FieldList
	switch x := spec.Type.(type) {
	case *ast.StructType:
		members = x.Fields
	case *ast.InterfaceType:
		members = x.Methods
	default:
		return
	}
	for _, m := range members.List {
		for _, n := range m.Names {
			s.names[name+"."+n.Name] = true
		}
		if e := typeName(m.Type, imports); len(m.Names) == 0 && e != "" {
			s.embeds[name] = append(s.embeds[name], e)
			s.names[name+"."+e[strings.LastIndex(e, ".")+1:]] = true
		}
	}
}

// typeName is the name of a type without pointer and type parameters, qualified by the path
// of its package if that is another one.
func typeName(e ast.Expr, imports map[string]string) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X, imports)
	case *ast.IndexExpr:
		return typeName(e.X, imports)
	case *ast.SelectorExpr:
		return imports[e.X.(*ast.Ident).Name] + "." + e.Sel.Name
	}
	return ""
}

// has reports whether a package exports a name, "Reply" or "Reply.Abort", also by
// embedding.
func (all surfaces) has(t *testing.T, path, name string) bool {
	s := all.of(t, path)
	typ, member, isMember := strings.Cut(name, ".")
	if !ast.IsExported(typ) || isMember && !ast.IsExported(member) {
		return false
	}
	if s.names[name] || !isMember {
		return s.names[name]
	}
	for _, e := range s.embeds[typ] {
		from := path
		if i := strings.LastIndex(e, "."); i >= 0 {
			from, e = e[:i], e[i+1:]
		}
		if all.has(t, from, e+"."+member) {
			return true
		}
	}
	return false
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// TestParity: every Go name in docs/qt-parity.md exists, every member of Qt has one or a reason,
// and every exported name is there: types, functions and variables of all packages, and the
// members of those types that a program meets first.
func TestParity(t *testing.T) {
	text, err := os.ReadFile("docs/qt-parity.md")
	require.NoError(t, err)
	all := surfaces{}
	inSection := "netreply"
	declared := regexp.MustCompile("^Package `(\\w+)`\\.")
	rows := 0
	named := map[string]map[string]bool{} // by package
	for word := range packagePaths {
		named[word] = map[string]bool{}
	}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "## ") {
			inSection = "netreply"
		}
		if m := declared.FindStringSubmatch(line); m != nil {
			inSection = m[1]
			line = strings.Replace(line, "`"+m[1]+"`", "", 1)
		}
		if row, ok := strings.CutPrefix(line, "| "); ok && line != "| Qt | Go |" {
			cells := strings.Split(strings.TrimSuffix(row, " |"), " | ")
			if !assert.Len(t, cells, 2, "line %d: %s", i+1, line) {
				continue
			}
			assert.NotContains(t, cells[0], "`", "line %d: Qt's names stand without marks", i+1)
			reason := regexp.MustCompile(`^(no|no need|later|always)\b`).MatchString(cells[1])
			assert.True(t, reason || len(cells[1]) > 3, "line %d says nothing: %s", i+1, line)
			line = cells[1]
			rows++
		}
		for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
			pkg, name := inSection, m[1]
			if name == "netreply" {
				continue
			}
			if first, rest, ok := strings.Cut(name, "."); ok && packagePaths[first] != "" {
				pkg, name = first, rest
			}
			assert.True(t, all.has(t, packagePaths[pkg], name), "line %d: there is no %s in package %s", i+1, name, pkg)
			typ, _, _ := strings.Cut(name, ".")
			named[pkg][name], named[pkg][typ] = true, true
		}
	}
	assert.Greater(t, rows, 200, "the tables were read")
	first := regexp.MustCompile(`^(Config|Request|Reply|Manager|Error)\.`)
	common := regexp.MustCompile(`\.(Format|LogValue|String|Error|Unwrap|Is)$`)
	for word, path := range packagePaths {
		if !strings.HasPrefix(path, modulePath) {
			continue
		}
		s := all.of(t, path)
		for name := range s.names {
			typ, member, isMember := strings.Cut(name, ".")
			if s.consts[name] || !ast.IsExported(typ) ||
				isMember && (!ast.IsExported(member) || !first.MatchString(name) || common.MatchString(name)) {
				continue
			}
			assert.True(t, named[word][name], "docs/qt-parity.md says nothing of %s.%s: give it a row, or a word under Beyond Qt", word, name)
		}
	}
}

var (
	ruleID       = regexp.MustCompile(`\b[A-Z][0-9]{1,2}\b`)
	ruleDefined  = regexp.MustCompile(`(?:^\| |[.;,] |\| )((?:[A-Z][0-9]{1,2}(?:, | and )?)+)(?::| \|)`)
	ruleCited    = regexp.MustCompile(`\brules? ((?:[A-Z][0-9]{1,2})(?:(?:, | and | to )[A-Z][0-9]{1,2})*)|\(([A-Z][0-9]{1,2}(?:(?:, | and | to )[A-Z][0-9]{1,2})*)\)`)
	notRules     = map[string]bool{"H1": true, "H2": true} // versions of HTTP in brackets
	rulesChapter = "docs/behaviour.md"
)

// TestRulesExist: every rule that a comment, a test or a document cites is in
// docs/behaviour.md.
func TestRulesExist(t *testing.T) {
	text, err := os.ReadFile(rulesChapter)
	require.NoError(t, err)
	rules := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		for _, m := range ruleDefined.FindAllStringSubmatch(line, -1) {
			for _, id := range ruleID.FindAllString(m[1], -1) {
				rules[id] = true
			}
		}
	}
	require.Greater(t, len(rules), 200, "the rules were read")
	cited := 0
	check := func(where, text string) {
		for _, m := range ruleCited.FindAllStringSubmatch(text, -1) {
			for _, id := range ruleID.FindAllString(m[1]+m[2], -1) {
				if m[2] != "" && notRules[id] {
					continue
				}
				assert.True(t, rules[id], "%s cites %s, which is not in %s", where, id, rulesChapter)
				cited++
			}
		}
	}
	require.NoError(t, filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(name) {
		case ".md":
			text, err := os.ReadFile(name)
			check(name, string(text))
			return err
		case ".go":
			text, err := os.ReadFile(name)
			check(name, commentsAndStrings(text))
			return err
		}
		return nil
	}))
	assert.Greater(t, cited, 100, "the citations were read")
}

// TestArchitecture: the packages, files and declarations in docs/architecture.md exist, and
// its imports are right.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	require.NoError(t, err)
	for _, m := range codeSpan.FindAllStringSubmatch(string(text), -1) {
		if name := m[1]; strings.HasSuffix(name, ".go") || strings.Contains(name, "/") {
			_, err := os.Stat(name)
			assert.NoError(t, err, "docs/architecture.md")
		}
	}
	found := 0
	for _, m := range regexp.MustCompile("`([A-Za-z0-9.]+)` in `([a-z0-9/]+\\.go)`").FindAllStringSubmatch(string(text), -1) {
		f, err := parser.ParseFile(token.NewFileSet(), m[2], nil, parser.SkipObjectResolution)
		if assert.NoError(t, err) {
			s := newSurface()
			s.add(f)
			assert.True(t, s.names[m[1]], "docs/architecture.md looks for %s in %s, where it is not", m[1], m[2])
		}
		found++
	}
	assert.Greater(t, found, 30, "the places were read")

	packages := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| [^|]* \\| ([^|]*)\\|$").FindAllStringSubmatch(string(text), -1) {
		dir := m[1]
		if dir == "netreply" {
			dir = "."
		}
		packages[dir] = true
		var says []string
		for _, i := range codeSpan.FindAllStringSubmatch(m[2], -1) {
			says = append(says, i[1])
		}
		assert.ElementsMatch(t, importsOf(t, dir), says, "docs/architecture.md says of %s that it imports something else", m[1])
	}
	for dir := range packages {
		for _, imported := range importsOf(t, dir) {
			assert.True(t, packages[imported], "docs/architecture.md has no row for %s, which %s imports", imported, dir)
		}
	}
}

// importsOf lists the packages of this module that one of them imports.
func importsOf(t *testing.T, dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	all := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, i := range f.Imports {
			if path, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), modulePath+"/"); ours {
				all[path] = true
			}
		}
	}
	return slices.Collect(maps.Keys(all))
}

// TestReadmeTables: README lists every error code and every signal by its name.
func TestReadmeTables(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	codes := map[string]bool{}
	for _, m := range regexp.MustCompile(`\| (\d+) (\w+)`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		assert.Equal(t, netreply.NetworkError(n).String(), m[2], "code %d", n)
		codes[m[2]] = true
	}
	for n := 1; n < 500; n++ {
		if name := netreply.NetworkError(n).String(); !strings.Contains(name, "(") { // the text of an unknown code
			assert.True(t, codes[name], "README has no row for %s", name)
		}
	}
	assert.Len(t, codes, 33)
	signals := 0
	reply := reflect.TypeFor[*netreply.Reply]()
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ").FindAllStringSubmatch(string(text), -1) {
		method, ok := reply.MethodByName(m[1])
		assert.True(t, ok && method.Type.Out(0).Kind() == reflect.Chan, "%s is no signal", m[1])
		signals++
	}
	for m := range reply.Methods() {
		if m.Type.NumOut() == 1 && m.Type.Out(0).Kind() == reflect.Chan && m.Name != "Questions" { // has the values of other signals
			signals--
			assert.Contains(t, string(text), "\n| `"+m.Name+"` | ", "README has no row for the signal")
		}
	}
	assert.Zero(t, signals)
}

// TestLinks: files that documents link to exist.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	code := regexp.MustCompile("(?ms)^```.*?^```$")
	found := 0
	require.NoError(t, filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".md" {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(name), m[1]))
			assert.NoError(t, err, "%s links to %s", name, m[1])
			found++
		}
		return err
	}))
	assert.Greater(t, found, 10, "the links were read")
}

// commentsAndStrings returns the comments and strings in Go source, each without line ends.
func commentsAndStrings(src []byte) string {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", fset.Base(), len(src)), src, nil, scanner.ScanComments)
	var out strings.Builder
	for {
		_, tok, lit := s.Scan()
		switch tok {
		case token.EOF:
			return out.String()
		case token.COMMENT:
			out.WriteString(strings.TrimPrefix(lit, "//")) // continue a comment of several lines
		case token.STRING:
			out.WriteString("\n" + lit)
		}
	}
}

// TestConcurrency: docs/concurrency.md has every lock of the client in its tables, and no other; so
// it has the file locks of a cache on the disk.
func TestConcurrency(t *testing.T) {
	text, err := os.ReadFile("docs/concurrency.md")
	require.NoError(t, err)
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[A-Za-z0-9.]+\\.mu`.*?) \\|").FindAllStringSubmatch(string(text), -1) {
		for _, name := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			listed = append(listed, name[1])
		}
	}
	var there []string
	for _, dir := range []string{".", "cookies", "hsts", "httpcache", "httpcache/rediscache", "internal/auth", "internal/certs", "internal/coding", "internal/dial", "internal/flow",
		"internal/httpauth", "internal/httpurl", "internal/journal", "internal/pipe", "internal/reqctx", "internal/wire"} {
		there = append(there, locksOf(t, dir)...)
	}
	assert.ElementsMatch(t, there, listed)
	assert.Contains(t, string(text), "`httpcache.lockFile`")
}

// locksOf lists the fields of a package that are mutexes, as package.type.field, or type.field
// for the root package.
func locksOf(t *testing.T, dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	prefix := ""
	if dir != "." {
		prefix = filepath.Base(dir) + "."
	}
	var list []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range s.Fields.List {
				sel, ok := field.Type.(*ast.SelectorExpr)
				if !ok || !slices.Contains([]string{"Mutex", "RWMutex"}, sel.Sel.Name) {
					continue
				}
				for _, id := range field.Names {
					list = append(list, prefix+spec.Name.Name+"."+id.Name)
				}
			}
			return true
		})
	}
	return list
}
