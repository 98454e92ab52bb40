package config

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the published schema anew")

// TestSchemaPublished holds that the schema in the repository is the one that the
// decoder was made with.
func TestSchemaPublished(t *testing.T) {
	if *update {
		if err := os.WriteFile(SchemaFile, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	published, err := os.ReadFile(SchemaFile)
	if err != nil || string(published) != string(Schema()) {
		t.Errorf("%s is not what the decoder reads (%v): run 'go test ./control/config -update'", SchemaFile, err)
	}
}

// TestSchemaTakes holds that the schema is not empty of meaning.
func TestSchemaTakes(t *testing.T) {
	s := compiledSchema(t)
	if err, ok := schemaSays(s, whole); err != nil || !ok {
		t.Errorf("the whole file: %v", err)
	}
	for _, text := range []string{
		"{}", "version: 2", "version: 1\nruotes: []", "version: 1\nroutes: 7", "version: 1\nroutes: [{via: 192.0.2.1}]",
		"version: 1\nroutes: [{prefix: 10.0.0.0/8, dev: a/b}]", "version: 1\nroutes: [{prefix: 10.0.0.0/8, type: local}]",
		"version: 1\nroutes: [{prefix: 10.0.0.0/8, dev: e, vrf: a, table: 3}]", "version: 1\nnexthop_groups: {'a b': [{dev: e}]}",
		"version: 1\nroutes: [{prefix: 10.0.0.0/8, nexthops: []}]", "version: 1\npreferences: {static: 0}",
	} {
		if err, ok := schemaSays(s, text); err == nil || !ok {
			t.Errorf("%q: is taken", text)
		}
	}
}
