// Package api compares the exported API of the public packages with the file api.txt.
package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write api.txt anew")

const (
	root   = "../.."
	module = "github.com/netreply/netreply"
)

// nested are the public packages that are separate modules.
var nested = []string{"httpcache/rediscache", "opensslpsk"}

// importing are those of nested that import more than this module does.
var importing = []string{"httpcache/rediscache"}

// TestAPI compares the exported API with api.txt, so that changes of it are visible in
// reviews. Names of parameters are ignored.
func TestAPI(t *testing.T) {
	got := surface(t)
	file := filepath.Join(root, "api.txt")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	if got != string(want) {
		t.Errorf("the exported surface is not that of api.txt; if the change is wanted: make api\n%s",
			difference(string(want), got))
	}
}

// difference lists the lines that only one of two APIs has, members with their type.
func difference(want, got string) string {
	var b strings.Builder
	only := func(sign string, lines, others []string) {
		for _, line := range lines {
			if !slices.Contains(others, line) {
				b.WriteString(sign + " " + line + "\n")
			}
		}
	}
	old, now := fullLines(want), fullLines(got)
	only("-", old, now)
	only("+", now, old)
	return b.String()
}

// fullLines prefixes every line with its package, and that of a member with its type.
func fullLines(surface string) []string {
	var pkg, typ string
	var lines []string
	for line := range strings.SplitSeq(surface, "\n") {
		switch {
		case strings.HasPrefix(line, "package "):
			pkg = filepath.Base(line)
		case strings.HasPrefix(line, "\t"):
			lines = append(lines, pkg+": "+typ+": "+line[1:])
		default:
			typ = line
			lines = append(lines, pkg+": "+line)
		}
	}
	return lines
}

// surface describes all public packages, one line for each exported name.
func surface(t *testing.T) string {
	exports := map[string]string{} // import path to file of export data
	dirs := map[string]string{}    // of the public packages, by import path
	for _, dir := range append([]string{""}, importing...) {
		dir = filepath.Join(root, dir)
		cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir", "./...")
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s", &stderr)
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct{ ImportPath, Export, Dir string }
			err := dec.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			exports[p.ImportPath] = cmp.Or(exports[p.ImportPath], p.Export)
			if strings.HasPrefix(p.ImportPath+"/", module+"/") && !strings.Contains(p.ImportPath, "/internal/") {
				dirs[p.ImportPath] = p.Dir
			}
		}
	}
	for _, name := range nested {
		dirs[module+"/"+name] = filepath.Join(root, name)
	}

	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	paths := make([]string, 0, len(dirs))
	for path := range dirs {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	var b strings.Builder
	b.WriteString("What the public packages export, written by `make api`.\n")
	for _, path := range paths {
		fmt.Fprintf(&b, "\npackage %s\n\n", path)
		for _, line := range describe(check(t, fset, imp, path, dirs[path])) {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// check type-checks the declarations of a package.
func check(t *testing.T, fset *token.FileSet, imp types.Importer, path, dir string) *types.Package {
	ctx := build.Default
	ctx.CgoEnabled = true
	p, err := ctx.ImportDir(dir, 0)
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range append(p.GoFiles, p.CgoFiles...) {
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	cfg := types.Config{Importer: imp, IgnoreFuncBodies: true, FakeImportC: true}
	pkg, err := cfg.Check(path, fset, files, nil)
	require.NoError(t, err)
	return pkg
}

// describe returns a line for each exported constant, variable, function and type of a
// package, and for the fields and methods of types.
func describe(pkg *types.Package) []string {
	var consts, vars, funcs, named []string
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Const:
			consts = append(consts, fmt.Sprintf("const %s %s = %s", name, typeText(pkg, obj.Type()), obj.Val().ExactString()))
		case *types.Var:
			vars = append(vars, fmt.Sprintf("var %s %s", name, typeText(pkg, obj.Type())))
		case *types.Func:
			funcs = append(funcs, "func "+name+signature(pkg, obj))
		case *types.TypeName:
			named = append(named, describeType(pkg, obj)...)
		}
	}
	return slices.Concat(consts, vars, funcs, named)
}

func describeType(pkg *types.Package, obj *types.TypeName) []string {
	if obj.IsAlias() {
		return []string{fmt.Sprintf("type %s = %s", obj.Name(), typeText(pkg, types.Unalias(obj.Type())))}
	}
	named := obj.Type().(*types.Named)
	head := "type " + obj.Name() + typeParameters(pkg, named)
	var members []string
	switch u := named.Underlying().(type) {
	case *types.Struct:
		for f := range u.Fields() {
			switch {
			case f.Embedded() && f.Exported():
				members = append(members, fmt.Sprintf("\tembeds %s", typeText(pkg, f.Type())))
			case f.Exported():
				members = append(members, fmt.Sprintf("\tfield %s %s", f.Name(), typeText(pkg, f.Type())))
			}
		}
		head += " struct"
	case *types.Interface:
		head += " interface"
		for m := range u.Methods() {
			if m.Exported() {
				members = append(members, "\tmethod "+m.Name()+signature(pkg, m))
			} else {
				members = append(members, "\tunexported methods")
			}
		}
	default:
		head += " " + typeText(pkg, u)
	}
	if !types.IsInterface(named) {
		ofValue := types.NewMethodSet(named)
		for m := range types.NewMethodSet(types.NewPointer(named)).Methods() {
			receiver := "*" + obj.Name()
			if ofValue.Lookup(pkg, m.Obj().Name()) != nil {
				receiver = obj.Name()
			}
			if m.Obj().Exported() {
				members = append(members, fmt.Sprintf("\tmethod (%s) %s%s", receiver, m.Obj().Name(), signature(pkg, m.Obj())))
			}
		}
	}
	slices.Sort(members)
	return append([]string{head}, slices.Compact(members)...)
}

func typeText(pkg *types.Package, t types.Type) string {
	return types.TypeString(anonymous(t), qualifier(pkg))
}

// signature is the text after the name of a function.
func signature(pkg *types.Package, f types.Object) string {
	return strings.TrimPrefix(typeText(pkg, f.Type()), "func")
}

// qualifier omits the name of the package itself.
func qualifier(pkg *types.Package) types.Qualifier {
	return func(p *types.Package) string {
		if p == pkg {
			return ""
		}
		return p.Name()
	}
}

// typeParameters returns the type parameters of a type, with their constraints.
func typeParameters(pkg *types.Package, named *types.Named) string {
	var list []string
	for p := range named.TypeParams().TypeParams() {
		list = append(list, p.String()+" "+typeText(pkg, p.Constraint()))
	}
	if list == nil {
		return ""
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// anonymous removes the names of parameters and results from a function's type, unless it
// has type parameters.
func anonymous(t types.Type) types.Type {
	s, ok := t.(*types.Signature)
	if !ok || s.TypeParams().Len() > 0 {
		return t
	}
	unnamed := func(tuple *types.Tuple) *types.Tuple {
		var vars []*types.Var
		for v := range tuple.Variables() {
			vars = append(vars, types.NewParam(v.Pos(), v.Pkg(), "", anonymous(v.Type())))
		}
		return types.NewTuple(vars...)
	}
	return types.NewSignatureType(nil, nil, nil, unnamed(s.Params()), unnamed(s.Results()), s.Variadic())
}
