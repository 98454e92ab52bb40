// Package scale runs weft beside a kernel that holds the Internet's table and more,
// under traffic: routes that change 10,000 times a second, tables that are flushed and
// filled again, storms of next-hop objects. What is measured is how long after a change
// was given to the kernel packets follow it, by looking into the image as a program does.
//
// The tests take a tenth of the table and some seconds; with WEFT_SOAK=1 all of it and
// as long as is promised.
package scale
