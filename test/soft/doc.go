// Package soft tests routers whose ports the userspace engine has: all of them, or some.
// What forwarding comes to is the business of package router, for both engines.
package soft
