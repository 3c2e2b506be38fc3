package httpserver_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

func jsonRequest(body string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// even is a number that is even.
type even int

var errOdd = errors.New("odd")

func (e *even) UnmarshalJSON(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err == nil && n%2 != 0 {
		err = errOdd
	}
	*e = even(n)
	return err
}

// word is a text without blanks.
type word string

func (w *word) UnmarshalText(text []byte) error {
	if strings.Contains(string(text), " ") {
		return errors.New("blank")
	}
	*w = word(text)
	return nil
}

// box decodes what is in it by itself.
type box struct{ In struct{ Size int } }

func (b *box) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &b.In) }

// refusing gives errors that mean something else elsewhere.
type refusing struct{}

var refusal error

func (*refusing) UnmarshalJSON([]byte) error { return refusal }

// stateful works on the value that its program has made.
type stateful struct{ limits map[string]int }

func (s *stateful) UnmarshalJSON(text []byte) error {
	if s.limits == nil {
		panic("no limits")
	}
	return errOdd
}

type inner struct {
	Deep  int `json:"deep"`
	Twice int
}

type another struct{ Twice int }

type places struct {
	inner
	*another
	Plain   int8              `json:"plain"`
	List    []int             `json:"list"`
	Two     [2]bool           `json:"two"`
	Map     map[string]uint16 `json:"map"`
	Numbers map[int8]string   `json:"numbers"`
	Words   map[word]int      `json:"words"`
	Any     any               `json:"any"`
	Each    []any             `json:"each"`
	Ptr     **float32         `json:"ptr"`
	Bytes   []byte            `json:"bytes"`
	Quoted  int               `json:"quoted,string"`
	Evens   []even            `json:"evens"`
	Word    *word             `json:"word"`
	Boxes   map[string]box    `json:"boxes"`
	Next    []places          `json:"next"`
	Number  json.Number       `json:"number"`
	Odd     string            `json:"a/b~c"`
	NoName  string            `json:",omitempty"`
	Quiet   string            `json:"-"`
	Reader  io.Reader         `json:"reader"`
	Floats  map[float64]int
}

// TestDecodeJSONPlace: every value that is wrong has a JSON Pointer, and an offset at which
// it begins.
func TestDecodeJSONPlace(t *testing.T) {
	for _, c := range []struct{ before, wrong, after, field string }{ // the body is all three
		{`{"plain":`, `"x"`, `}`, "/plain"},
		{`{"plain": `, `128`, ` }`, "/plain"},
		{`{"plain":7,"PLAIN":`, `1.5`, `}`, "/PLAIN"},
		{`{"plain":`, `-129`, `}`, "/plain"},
		{``, `[]`, ``, ""},
		{" \n", `"x"`, ``, ""},
		{`{"list":[1,2 , `, `"3"`, `]}`, "/list/2"},
		{`{"list":`, `{"a":[1,"}"]}`, `}`, "/list"},
		{`{"list":[`, `[1]`, `,2]}`, "/list/0"},
		{`{"two":[true,`, `0`, `,5,"x"]}`, "/two/1"},
		{`{"two":[true,false,5,{"x":[]}],"plain":`, `{}`, `}`, "/plain"},
		{`{"map":{"":1,"x":`, `70000`, `}}`, "/map/x"},
		{`{"map":{"":`, `-1`, `}}`, "/map/"},
		{`{"map":{"~/\"\u00e4 ":`, `"1"`, `}}`, "/map/~0~1\"ä "},
		{`{"numbers":{"1":"a",`, `"x"`, `:"b"}}`, "/numbers/x"},
		{`{"numbers":{`, `"300"`, `:"b"}}`, "/numbers/300"},
		{`{"words":{"a":1,`, `"b c"`, `:1}}`, "/words/b c"},
		{`{"any":{"a":[1,2.5,-3,"x",null,true,{"b":`, `1e999`, `}]}}`, "/any/a/6/b"},
		{`{"each":[{"a":`, `-1e999`, `}]}`, "/each/0/a"},
		{`{"ptr":null,"ptr":`, `"x"`, `}`, "/ptr"},
		{`{"ptr":`, `1e39`, `}`, "/ptr"},
		{`{"bytes":"aGVsbG8=","bytes":`, `"%"`, `}`, "/bytes"},
		{`{"bytes":[1,2,`, `256`, `]}`, "/bytes/2"},
		{`{"quoted":"1","quoted":`, `1`, `}`, "/quoted"},
		{`{"quoted":`, `"x"`, `}`, "/quoted"},
		{`{"evens":[2,4,`, `5`, `,7]}`, "/evens/2"},
		{`{"evens":[`, `"x"`, `]}`, "/evens/0"},
		{`{"word":"a","word":null,"word":`, `"a b"`, `}`, "/word"},
		{`{"word":`, `1`, `}`, "/word"},
		{`{"boxes":{"a":{"Size":1},"b":`, `{"Size":"x"}`, `}}`, "/boxes/b"},
		{`{"next":[{},{"next":[{"deep":`, `true`, `}]}]}`, "/next/1/next/0/deep"},
		{`{"number":"12","number":`, `"x"`, `}`, "/number"},
		{`{"a/b~c":`, `1`, `}`, "/a~1b~0c"},
		{`{"NoName":`, `1`, `}`, "/NoName"},
		{`{"Quiet":1,"another":1,"Twice":"x","list":`, `"x"`, `}`, "/list"},
		{`{"reader":null,"reader":`, `{}`, `}`, "/reader"},
		{`{"Floats":null,"Floats":`, `{"1":1}`, `}`, "/Floats"},
	} {
		body := c.before + c.wrong + c.after
		var v places
		err := httpserver.DecodeJSON(jsonRequest(body), &v, 0)
		var input *httpserver.InputError
		if assert.ErrorAs(t, err, &input, body) {
			assert.ErrorIs(t, err, httpserver.ErrWrongType, body)
			assert.Equal(t, c.field, input.Field, body)
			assert.EqualValues(t, len(c.before), input.Offset, body)
		}
		assert.Error(t, json.Unmarshal([]byte(body), new(places)))
	}
}

// TestDecodeJSONUnknownPlace: a field that is not known has a place, too, and not that of one
// of the same name that is known.
func TestDecodeJSONUnknownPlace(t *testing.T) {
	for _, c := range []struct{ before, key, after, field string }{
		{`{`, `"wings"`, `:2}`, "/wings"},
		{`{"map":{"wings":1},"any":{"wings":1},`, `"wings"`, `:2}`, "/wings"},
		{`{"next":[{"deep":1},{"Deep":1,`, `"a\/b"`, `:2}],"a/b":2}`, "/next/1/a~1b"},
		{`{`, `"Twice"`, `:2}`, "/Twice"}, // of two embedded structs, so of none
		{`{"boxes":{"b":{"Size":1,"deep":1}},"next":[{`, `"Size"`, `:1}]}`, "/next/0/Size"},
		{`{`, `"Quiet"`, `:2}`, "/Quiet"},
	} {
		body := c.before + c.key + c.after
		var v places
		err := httpserver.DecodeJSON(jsonRequest(body), &v, 0, httpserver.KnownFieldsOnly)
		var input *httpserver.InputError
		require.ErrorAs(t, err, &input, body)
		assert.ErrorIs(t, err, httpserver.ErrUnknownField, body)
		assert.Equal(t, c.field, input.Field, body)
		assert.EqualValues(t, len(c.before), input.Offset, body)
	}
}

// TestDecodeJSONForeignErrors: what a method of the value returns is told from what is wrong
// with the text, be it an error that means something to the decoder.
func TestDecodeJSONForeignErrors(t *testing.T) {
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, &json.SyntaxError{Offset: 40}, errOdd} {
		refusal = err
		var v struct{ A, B refusing }
		got := httpserver.DecodeJSON(jsonRequest(`{"B":1}`), &v, 0)
		var input *httpserver.InputError
		require.ErrorAs(t, got, &input, "%T", err)
		assert.ErrorIs(t, got, httpserver.ErrWrongType)
		assert.NotErrorIs(t, got, httpserver.ErrEmpty)
		assert.ErrorIs(t, got, err)
		assert.Equal(t, "/B", input.Field)
		assert.EqualValues(t, 5, input.Offset)
		assert.Equal(t, httpserver.UnprocessableEntity, input.Status())
		assert.ErrorIs(t, httpserver.DecodeJSON(jsonRequest(`{"B":1`), &v, 0), httpserver.ErrSyntax)
		assert.ErrorIs(t, httpserver.DecodeJSON(jsonRequest(" "), &v, 0), httpserver.ErrEmpty)
	}
}

// TestDecodeJSONNoPlace: where the place cannot be found there is none, and no panic.
func TestDecodeJSONNoPlace(t *testing.T) {
	var inside places
	v := struct {
		S stateful
		I any
	}{stateful{map[string]int{}}, &inside}
	for _, body := range []string{`{"S":1}`, `{"I":{"plain":"x"}}`} {
		err := httpserver.DecodeJSON(jsonRequest(body), &v, 0)
		var input *httpserver.InputError
		require.ErrorAs(t, err, &input, body)
		assert.ErrorIs(t, err, httpserver.ErrWrongType, body)
		assert.Empty(t, input.Field, body)
		assert.Zero(t, input.Offset, body)
	}
}

// FuzzDecodeJSONPlace: a syntax error is where the text stops being the beginning of one, and
// a value of the wrong type is where encoding/json has found it.
func FuzzDecodeJSONPlace(f *testing.F) {
	for _, text := range []string{
		`{"plain":1,"list":[1,{}],"two":[1,2,3]}`, `{"map":{"a":"b"},"any":[1e999]}`, `{"next":[{"ptr":"x"},{"deep":[[]]}]}`,
		`{"deep":[[]]}`,
		`{"a":"\ud800","\u0000":tru}`, `[1,"\x"]`, `{"numbers":{"1":1}}`, ` {"quoted":"5" , "bytes":[1,-2]} x`,
	} {
		f.Add(text)
	}
	type plain struct {
		inner
		Plain   int8              `json:"plain"`
		List    []int             `json:"list"`
		Two     [2]bool           `json:"two"`
		Map     map[string]uint16 `json:"map"`
		Numbers map[int8]string   `json:"numbers"`
		Any     any               `json:"any"`
		Ptr     **float32         `json:"ptr"`
		Next    []plain           `json:"next"`
		Deep    map[string]plain
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v plain
		err := httpserver.DecodeJSON(jsonRequest(text), &v, -1)
		var input *httpserver.InputError
		if err == nil || !errors.As(err, &input) {
			return
		}
		part := func(n int64) error { // what is wrong with the beginning of the text
			return json.NewDecoder(strings.NewReader(text[:n])).Decode(new(json.RawMessage))
		}
		var typ *json.UnmarshalTypeError
		switch {
		case errors.Is(err, httpserver.ErrSyntax) && input.Offset < int64(len(text)):
			if begin := part(input.Offset); begin != io.ErrUnexpectedEOF && begin != io.EOF {
				t.Fatalf("%q, %d: what is before has %v", text, input.Offset, begin)
			}
			if begin := part(input.Offset + 1); begin == nil || begin == io.ErrUnexpectedEOF {
				t.Fatalf("%q, %d: this is not what is wrong", text, input.Offset)
			}
		case errors.As(err, &typ):
			rest := json.NewDecoder(strings.NewReader(text[input.Offset:]))
			var value json.RawMessage
			if err := rest.Decode(&value); err != nil {
				t.Fatal(err)
			}
			end := input.Offset + int64(len(value)) // of a literal, or a byte more; of others, and keys, it is the first byte
			if typ.Offset != end && typ.Offset != end+1 && typ.Offset != input.Offset+1 {
				t.Fatalf("%q: %d, and encoding/json has %d", text, input.Offset, typ.Offset)
			}
			names := strings.FieldsFunc(typ.Field, func(r rune) bool { return r == '.' })
			names = slices.DeleteFunc(names, func(s string) bool { return s == "inner" }) // embedded: JSON has no such name
			if strings.Count(input.Field, "/") < len(names) {
				t.Fatalf("%q: %s, and encoding/json has %s", text, input.Field, typ.Field)
			}
		}
	})
}
