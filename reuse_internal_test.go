package netreply

import (
	"reflect"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/internal/journal"
)

// setAll sets all of a value, as deep as it is stored in place.
func setAll(v reflect.Value) {
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() // also where it is not exported
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			setAll(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Chan:
		v.Set(reflect.MakeChan(v.Type(), 0))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Func:
		v.Set(reflect.MakeFunc(v.Type(), nil))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Array, reflect.Interface:
	default:
		v.Set(reflect.ValueOf(1).Convert(v.Type()))
	}
}

// TestClear: nothing of a request is left in a Reply for the next one, whichever fields there are.
func TestClear(t *testing.T) {
	var r Reply
	kept := map[string]bool{"m": true, "own": true, "pipe": true, "mu": true, "prev": true, "next": true, "calls": true}
	all := reflect.ValueOf(&r).Elem()
	for i := range all.NumField() {
		if name := all.Type().Field(i).Name; !kept[name] && name != "record" {
			setAll(all.Field(i))
		}
	}
	r.stage = atomic.Int32{}
	r.stage.Store(1)
	r.record.Append(journal.Kind(sigRequestSent), 0, 0, 0)
	setAll(reflect.ValueOf(r.extra).Elem())
	u := r.extra.reuse
	r.clear()
	assert.Same(t, u, r.extra.reuse)
	assert.Equal(t, extra{reuse: u}, *r.extra)
	want := Reply{ctx: r.ctx, extra: r.extra, head: head{length: -1}}
	for i := range all.NumField() {
		if name := all.Type().Field(i).Name; !kept[name] {
			wanted := reflect.ValueOf(&want).Elem().Field(i)
			field := func(v reflect.Value) any {
				return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Interface()
			}
			assert.Equal(t, field(wanted), field(all.Field(i)), name)
		}
	}
}
