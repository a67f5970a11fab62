package main

import (
	"encoding"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"reflect"
	"strconv"
	"time"
)

// Types and values as JSON that keeps everything: numbers are decimal strings, floats the hex of their bits, strings and bytes hex,
// maps lists of pairs, interfaces {type, value}.

type described = map[string]any

var (
	gobEncoder      = reflect.TypeFor[gob.GobEncoder]()
	binaryMarshaler = reflect.TypeFor[encoding.BinaryMarshaler]()
	timeType        = reflect.TypeFor[time.Time]()
	bigType         = reflect.TypeFor[big.Int]()
	urlType         = reflect.TypeFor[url.URL]()
)

// wireOf tells how a type makes bytes of itself: 0 when it does not.
func wireOf(rt reflect.Type) (wire int, onPointer bool) {
	for _, way := range []struct {
		wire int
		how  reflect.Type
	}{{5, gobEncoder}, {6, binaryMarshaler}} {
		if rt.Implements(way.how) {
			return way.wire, false
		}
		if reflect.PointerTo(rt).Implements(way.how) {
			return way.wire, true
		}
	}
	return 0, false
}

func fullName(rt reflect.Type) string {
	if rt.PkgPath() == "" {
		return rt.Name()
	}
	return rt.PkgPath() + "." + rt.Name()
}

func describe(rt reflect.Type, within map[reflect.Type]bool) any {
	if rt.Kind() == reflect.Pointer {
		return described{"t": "ptr", "of": describe(rt.Elem(), within)}
	}
	if wire, onPointer := wireOf(rt); wire != 0 && rt.Kind() != reflect.Interface {
		return described{"t": "opaque", "wire": wire, "name": fullName(rt), "onPointer": onPointer}
	}
	plain := rt.Name() == "" || rt.PkgPath() == "" || rt.Kind() == reflect.Struct
	if !plain {
		if within[rt] {
			return described{"t": "ref", "name": fullName(rt)}
		}
		within[rt] = true
		return described{"t": "named", "name": fullName(rt), "of": describeKind(rt, within)}
	}
	return describeKind(rt, within)
}

func describeKind(rt reflect.Type, within map[reflect.Type]bool) any {
	switch rt.Kind() {
	case reflect.Bool:
		return described{"t": "bool"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return described{"t": "int", "go": rt.Kind().String()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return described{"t": "uint", "go": rt.Kind().String()}
	case reflect.Float32, reflect.Float64:
		return described{"t": "float", "go": rt.Kind().String()}
	case reflect.Complex64, reflect.Complex128:
		return described{"t": "complex", "go": rt.Kind().String()}
	case reflect.String:
		return described{"t": "string"}
	case reflect.Interface:
		return described{"t": "iface"}
	case reflect.Slice:
		if rt.Elem().Kind() == reflect.Uint8 {
			return described{"t": "bytes"}
		}
		return described{"t": "slice", "of": describe(rt.Elem(), within)}
	case reflect.Array:
		return described{"t": "array", "n": rt.Len(), "of": describe(rt.Elem(), within)}
	case reflect.Map:
		return described{"t": "map", "key": describe(rt.Key(), within), "of": describe(rt.Elem(), within)}
	case reflect.Struct:
		name := ""
		if rt.Name() != "" {
			name = fullName(rt)
			if within[rt] {
				return described{"t": "ref", "name": name}
			}
			within[rt] = true
		}
		fields := []any{}
		for i := 0; i < rt.NumField(); i++ {
			if f := rt.Field(i); sent(f) {
				fields = append(fields, []any{f.Name, describe(f.Type, within)})
			}
		}
		return described{"t": "struct", "name": name, "fields": fields}
	}
	panic("cannot describe " + rt.String())
}

func sent(f reflect.StructField) bool {
	kind := f.Type.Kind()
	return f.IsExported() && kind != reflect.Chan && kind != reflect.Func
}

func floatBits(f float64) string { return fmt.Sprintf("%016x", math.Float64bits(f)) }

func neutral(v reflect.Value) any {
	rt := v.Type()
	if rt.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		return neutral(v.Elem())
	}
	if wire, _ := wireOf(rt); wire != 0 && rt.Kind() != reflect.Interface {
		return neutralOpaque(v)
	}
	switch rt.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return floatBits(v.Float())
	case reflect.Complex64, reflect.Complex128:
		return []any{floatBits(real(v.Complex())), floatBits(imag(v.Complex()))}
	case reflect.String:
		return hex.EncodeToString([]byte(v.String()))
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		inner := v.Elem()
		return described{"type": nameOf(inner.Type()), "value": neutral(inner)}
	case reflect.Slice:
		if rt.Elem().Kind() == reflect.Uint8 {
			return hex.EncodeToString(v.Bytes())
		}
		return elements(v)
	case reflect.Array:
		return elements(v)
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
		pairs := []any{}
		for _, key := range sortedKeys(v) {
			pairs = append(pairs, []any{neutral(key), neutral(v.MapIndex(key))})
		}
		return pairs
	case reflect.Struct:
		fields := []any{}
		for i := 0; i < rt.NumField(); i++ {
			if sent(rt.Field(i)) {
				fields = append(fields, neutral(v.Field(i)))
			}
		}
		return fields
	}
	panic("no neutral form of " + rt.String())
}

func elements(v reflect.Value) []any {
	list := []any{}
	for i := 0; i < v.Len(); i++ {
		list = append(list, neutral(v.Index(i)))
	}
	return list
}

func neutralOpaque(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Time:
		_, offset := value.Zone()
		var zone any = offset
		if value.Location() == time.UTC {
			zone = nil
		}
		return []any{strconv.FormatInt(value.Unix(), 10), value.Nanosecond(), zone}
	case big.Int:
		return value.String()
	case url.URL:
		return value.String()
	case gob.GobEncoder:
		raw, err := value.GobEncode()
		check(err)
		return hex.EncodeToString(raw)
	case encoding.BinaryMarshaler:
		raw, err := value.MarshalBinary()
		check(err)
		return hex.EncodeToString(raw)
	}
	pointer := reflect.New(v.Type())
	pointer.Elem().Set(v)
	switch value := pointer.Interface().(type) {
	case gob.GobEncoder:
		raw, err := value.GobEncode()
		check(err)
		return hex.EncodeToString(raw)
	case encoding.BinaryMarshaler:
		raw, err := value.MarshalBinary()
		check(err)
		return hex.EncodeToString(raw)
	}
	panic("not opaque: " + v.Type().String())
}

// determined tells whether Go would write the value the same way twice, and without definitions inside it.
func determined(v reflect.Value) bool {
	rt := v.Type()
	if rt.Kind() == reflect.Pointer {
		return v.IsNil() || determined(v.Elem())
	}
	// Go also defines the types of its exported fields, which nobody needs.
	if rt == urlType {
		return false
	}
	if wire, _ := wireOf(rt); wire != 0 && rt.Kind() != reflect.Interface {
		return true
	}
	switch rt.Kind() {
	case reflect.Interface:
		return v.IsNil() || v.Elem().Type().Name() != "" && v.Elem().Type().PkgPath() == "" || v.Elem().Type() == reflect.TypeFor[[]byte]()
	case reflect.Slice, reflect.Array:
		for i := 0; i < v.Len(); i++ {
			if !determined(v.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		if v.Len() > 1 {
			return false
		}
		for _, key := range v.MapKeys() {
			if !determined(key) || !determined(v.MapIndex(key)) {
				return false
			}
		}
	case reflect.Struct:
		for i := 0; i < rt.NumField(); i++ {
			if sent(rt.Field(i)) && !determined(v.Field(i)) {
				return false
			}
		}
		// The types of fields are defined even when the fields are nil.
		for i := 0; i < rt.NumField(); i++ {
			if f := rt.Field(i).Type; f == urlType || f == reflect.PointerTo(urlType) {
				return false
			}
		}
	}
	return true
}

// ---- from descriptions to types and values

type description struct {
	T      string              `json:"t"`
	Go     string              `json:"go"`
	N      int                 `json:"n"`
	Of     json.RawMessage     `json:"of"`
	Key    json.RawMessage     `json:"key"`
	Name   string              `json:"name"`
	Fields [][]json.RawMessage `json:"fields"`
}

var basics = map[string]reflect.Type{
	"int": reflect.TypeFor[int](), "int8": reflect.TypeFor[int8](), "int16": reflect.TypeFor[int16](),
	"int32": reflect.TypeFor[int32](), "int64": reflect.TypeFor[int64](),
	"uint": reflect.TypeFor[uint](), "uint8": reflect.TypeFor[uint8](), "uint16": reflect.TypeFor[uint16](),
	"uint32": reflect.TypeFor[uint32](), "uint64": reflect.TypeFor[uint64](), "uintptr": reflect.TypeFor[uintptr](),
	"float32": reflect.TypeFor[float32](), "float64": reflect.TypeFor[float64](),
	"complex64": reflect.TypeFor[complex64](), "complex128": reflect.TypeFor[complex128](),
}

func build(raw json.RawMessage) reflect.Type {
	var d description
	check(json.Unmarshal(raw, &d))
	switch d.T {
	case "bool":
		return reflect.TypeFor[bool]()
	case "string":
		return reflect.TypeFor[string]()
	case "bytes":
		return reflect.TypeFor[[]byte]()
	case "iface":
		return reflect.TypeFor[any]()
	case "int", "uint", "float", "complex":
		return basics[d.Go]
	case "slice":
		return reflect.SliceOf(build(d.Of))
	case "array":
		return reflect.ArrayOf(d.N, build(d.Of))
	case "map":
		return reflect.MapOf(build(d.Key), build(d.Of))
	case "ptr":
		return reflect.PointerTo(build(d.Of))
	case "opaque":
		switch d.Name {
		case "time.Time":
			return timeType
		case "math/big.Int":
			return bigType
		}
	case "struct":
		fields := []reflect.StructField{}
		for _, field := range d.Fields {
			var name string
			check(json.Unmarshal(field[0], &name))
			fields = append(fields, reflect.StructField{Name: name, Type: build(field[1])})
		}
		return reflect.StructOf(fields)
	}
	panic("cannot build " + string(raw))
}

func fill(v reflect.Value, raw json.RawMessage) {
	rt := v.Type()
	if string(raw) == "null" {
		return
	}
	text := func() string {
		var s string
		check(json.Unmarshal(raw, &s))
		return s
	}
	list := func() []json.RawMessage {
		var l []json.RawMessage
		check(json.Unmarshal(raw, &l))
		return l
	}
	float := func(bits string) float64 {
		u, err := strconv.ParseUint(bits, 16, 64)
		check(err)
		return math.Float64frombits(u)
	}
	raws := func() []byte {
		b, err := hex.DecodeString(text())
		check(err)
		return b
	}
	switch {
	case rt.Kind() == reflect.Pointer:
		v.Set(reflect.New(rt.Elem()))
		fill(v.Elem(), raw)
		return
	case rt == timeType:
		var parts [3]any
		check(json.Unmarshal(raw, &parts))
		seconds, err := strconv.ParseInt(parts[0].(string), 10, 64)
		check(err)
		t := time.Unix(seconds, int64(parts[1].(float64))).UTC()
		if parts[2] != nil {
			t = t.In(time.FixedZone("", int(parts[2].(float64))))
		}
		v.Set(reflect.ValueOf(t))
		return
	case rt == bigType:
		n, _ := new(big.Int).SetString(text(), 10)
		v.Addr().Interface().(*big.Int).Set(n)
		return
	}
	switch rt.Kind() {
	case reflect.Bool:
		v.SetBool(string(raw) == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(text(), 10, 64)
		check(err)
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		u, err := strconv.ParseUint(text(), 10, 64)
		check(err)
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float(text()))
	case reflect.Complex64, reflect.Complex128:
		var parts [2]string
		check(json.Unmarshal(raw, &parts))
		v.SetComplex(complex(float(parts[0]), float(parts[1])))
	case reflect.String:
		v.SetString(string(raws()))
	case reflect.Slice:
		if rt.Elem().Kind() == reflect.Uint8 {
			v.SetBytes(raws())
			return
		}
		l := list()
		v.Set(reflect.MakeSlice(rt, len(l), len(l)))
		for i := range l {
			fill(v.Index(i), l[i])
		}
	case reflect.Array:
		for i, each := range list() {
			fill(v.Index(i), each)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(rt))
		for _, pair := range list() {
			var parts [2]json.RawMessage
			check(json.Unmarshal(pair, &parts))
			key, value := reflect.New(rt.Key()).Elem(), reflect.New(rt.Elem()).Elem()
			fill(key, parts[0])
			fill(value, parts[1])
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i, each := range list() {
			fill(v.Field(i), each)
		}
	case reflect.Interface:
		var typed struct {
			Type  string          `json:"type"`
			Value json.RawMessage `json:"value"`
			Of    json.RawMessage `json:"of"`
		}
		check(json.Unmarshal(raw, &typed))
		inner := reflect.New(build(typed.Of)).Elem()
		fill(inner, typed.Value)
		v.Set(inner)
	}
}
