// Package image tests that BPF and Go read one FIB image alike, also while it
// changes.
package image

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel lookups lookups.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf/include -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types lookupschunked lookups.c -- -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf/include -idirafter /usr/include/x86_64-linux-gnu
