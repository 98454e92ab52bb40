// Report prints what tests have proved, of the file that WEFT_PROOF names.
package main

import (
	"fmt"
	"os"

	"weft/test/proof"
)

func main() {
	all, err := proof.Read(os.Getenv(proof.File))
	if err == nil {
		fmt.Println("What was proved:")
		err = proof.Write(os.Stdout, all)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report: read what was proved:", err)
		os.Exit(1)
	}
}
