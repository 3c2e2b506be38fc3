// pack moves the recorded cases between the archive and a folder:
//
//	pack -unpack DIR              writes DIR/scenarios and DIR/traces
//	pack -pack DIR -o qt.tar.gz   packs them again
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/netreply/netreply/internal/conformance"
)

func main() {
	unpackTo := flag.String("unpack", "", "folder to unpack to")
	packFrom := flag.String("pack", "", "folder to pack")
	out := flag.String("o", "qt.tar.gz", "archive to write with -pack")
	flag.Parse()
	var err error
	switch {
	case *unpackTo != "" && *packFrom == "":
		err = unpack(*unpackTo)
	case *packFrom != "" && *unpackTo == "":
		err = pack(*packFrom, *out)
	default:
		err = fmt.Errorf("one of -unpack and -pack is needed")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func unpack(dir string) error {
	return conformance.Files(func(name string, data []byte) error {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s leads out of the folder", name)
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, data, "", " "); err != nil {
			return err
		}
		pretty.WriteByte('\n')
		return os.WriteFile(file, pretty.Bytes(), 0o644)
	})
}

func pack(dir, out string) error {
	var names []string
	for _, sub := range []string{"scenarios", "traces"} {
		files, err := filepath.Glob(filepath.Join(dir, sub, "*.json"))
		if err != nil {
			return err
		}
		for _, f := range files {
			names = append(names, sub+"/"+filepath.Base(f))
		}
	}
	sort.Strings(names)
	var buf bytes.Buffer
	err := conformance.Pack(&buf, names, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	})
	if err != nil {
		return err
	}
	return os.WriteFile(out, buf.Bytes(), 0o644)
}
