// Package upgrade tests that a daemon takes over what one of another format of pins
// left, older or newer, without losing a packet (package star): from a fixture of
// the first format, made by the code that wrote it (testdata), and with a program of
// the next format, made of today's code by edits (nextWeft), up and down, in all
// modes, and killed on the way.
package upgrade
