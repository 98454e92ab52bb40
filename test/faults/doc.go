// Package faults breaks things while packets with sequence numbers are forwarded,
// and tells how many were lost. The faults are the program's, the kernel's and the
// operator's; each has a number (R1 ...), by which package proof records it.
//
// Each fault is there in a short form. With WEFT_SOAK=1 in the environment it
// is as large and as long as it is promised for: a million routes, a minute dead,
// an hour of changes (make soak-faults).
package faults
