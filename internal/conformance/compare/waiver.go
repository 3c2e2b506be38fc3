package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// Waiver accepts a difference. Scenario is a name and may contain * and ?; Field is the
// path of a difference, whose elements may contain them, too, and covers everything below
// it. Reason names the rule.
type Waiver struct {
	Scenario string `json:"scenario"`
	Field    string `json:"field"`
	Reason   string `json:"reason"`
}

// ParseWaivers parses a JSON list, without unknown fields.
func ParseWaivers(data []byte) ([]Waiver, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var ws []Waiver
	if err := dec.Decode(&ws); err != nil {
		return nil, err
	}
	for _, w := range ws {
		if w.Scenario == "" || w.Field == "" || w.Reason == "" {
			return nil, fmt.Errorf("waiver %+v: scenario, field and reason are all needed", w)
		}
	}
	return ws, nil
}

// Match tells whether the waiver covers a difference.
func (w *Waiver) Match(scenario, field string) bool {
	if ok, err := path.Match(w.Scenario, scenario); err != nil || !ok {
		return false
	}
	if w.Field == "*" {
		return true
	}
	want, have := strings.Split(w.Field, "/"), strings.Split(field, "/")
	if len(want) > len(have) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// Waived tells whether one of the waivers covers a difference.
func Waived(ws []Waiver, scenario, field string) bool {
	for i := range ws {
		if ws[i].Match(scenario, field) {
			return true
		}
	}
	return false
}
