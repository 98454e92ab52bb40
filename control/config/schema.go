package config

import "encoding/json"

// SchemaFile is the published schema, in the directory of this package.
const SchemaFile = "weft.schema.json"

// Schema returns the JSON schema of the file (draft 2020-12), which editors check
// files by while they are written. It knows all but what takes more than one
// value to see: duplicates, groups that are not there, families that do not fit.
func Schema() []byte {
	s := (&reader{config: Default()}).file().schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["description"] = "Configuration of weft, a software router: /etc/weft/weft.yaml."
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // it is made of strings and numbers
	}
	return append(b, '\n')
}
