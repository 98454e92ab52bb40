package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// writeTagged writes a struct as described reads it: its fields below their keys.
func writeTagged(b *bytes.Buffer, v reflect.Value, indent string) {
	for i := range v.NumField() {
		key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := v.Field(i)
		if option != "" && f.IsZero() {
			continue
		}
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		fmt.Fprintf(b, "%s%s:", indent, key)
		writeValue(b, f, indent+"  ")
	}
}

// writeValue writes what stands behind a colon.
func writeValue(b *bytes.Buffer, v reflect.Value, indent string) {
	switch text, ok := scalarText(v); {
	case ok:
		fmt.Fprintf(b, " %s\n", text)
	case v.Kind() == reflect.Slice:
		writeList(b, v, indent)
	case fieldsOf(v) == "":
		b.WriteString(" {}\n")
	default:
		fmt.Fprintf(b, "\n%s", indentLines(fieldsOf(v), indent))
	}
}

func writeList(b *bytes.Buffer, v reflect.Value, indent string) {
	if v.Len() == 0 {
		b.WriteString(" []\n")
		return
	}
	b.WriteString("\n")
	for i := range v.Len() {
		if text, ok := scalarText(v.Index(i)); ok {
			fmt.Fprintf(b, "%s- %s\n", indent, text)
			continue
		}
		fields := fieldsOf(v.Index(i))
		if fields == "" {
			fmt.Fprintf(b, "%s- {}\n", indent)
			continue
		}
		lines := indentLines(fields, indent+"  ")
		fmt.Fprintf(b, "%s- %s", indent, lines[len(indent)+2:])
	}
}

func fieldsOf(v reflect.Value) string {
	var b bytes.Buffer
	writeTagged(&b, v, "")
	return b.String()
}

func indentLines(s, indent string) string {
	return indent + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+indent) + "\n"
}

// scalarText returns a value that stands on one line.
func scalarText(v reflect.Value) (string, bool) {
	switch to := v.Interface().(type) {
	case netip.Addr:
		return plainText(to.String()), true
	case netip.Prefix:
		return plainText(to.String()), true
	case time.Duration:
		return plainText(to.String()), true
	case RemoteAS:
		return to.String(), true
	}
	switch v.Kind() {
	case reflect.String:
		return plainText(v.String()), true
	case reflect.Bool:
		return fmt.Sprint(v.Bool()), true
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprint(v.Uint()), true
	}
	return "", false
}
