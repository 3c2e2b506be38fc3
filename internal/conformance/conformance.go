// Package conformance compares netreply with Qt 6.4.2. It has scripted network scenarios,
// the traces recorded with Qt, a client that plays the same scenarios with netreply, and a
// list of accepted differences.
//
// The scenarios and traces are packed in qt.tar.gz. cmd/pack unpacks and packs them,
// cmd/record records new traces if Qt is installed (see qtoracle), and cmd/qtrun and
// cmd/compare are the steps of the test as separate commands.
package conformance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/netreply/netreply/internal/conformance/scenario"
)

//go:embed qt.tar.gz
var packed []byte

//go:embed waivers.json
var Waivers []byte

// Case is a scenario and its trace with Qt.
type Case struct {
	Scenario *scenario.Scenario
	Trace    *scenario.Trace
}

// Group is the first word of the name.
func (c *Case) Group() string {
	g, _, _ := strings.Cut(c.Scenario.Name, "-")
	return g
}

// Cases unpacks all cases, in the order of the archive.
func Cases() ([]*Case, error) {
	byName := map[string]*Case{}
	var list []*Case
	err := Files(func(name string, data []byte) error {
		key := strings.TrimSuffix(path.Base(name), ".json")
		c := byName[key]
		if c == nil {
			c = &Case{}
			byName[key] = c
			list = append(list, c)
		}
		var into any
		if path.Dir(name) == "scenarios" {
			c.Scenario = new(scenario.Scenario)
			into = c.Scenario
		} else {
			c.Trace = new(scenario.Trace)
			into = c.Trace
		}
		if err := json.Unmarshal(data, into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.Scenario == nil || c.Trace == nil {
			return nil, fmt.Errorf("qt.tar.gz: a scenario or trace without its counterpart: %+v", c)
		}
	}
	return list, nil
}

// Files yields the files of the archive.
func Files(each func(name string, data []byte) error) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		if err := each(h.Name, data); err != nil {
			return err
		}
	}
}

// Pack writes an archive of files. For a reproducible result the files must be sorted.
func Pack(w io.Writer, names []string, read func(name string) ([]byte, error)) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, name := range names {
		data, err := read(name)
		if err != nil {
			return err
		}
		var small bytes.Buffer
		if err := json.Compact(&small, data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(small.Len())}); err != nil {
			return err
		}
		if _, err := t.Write(small.Bytes()); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}
