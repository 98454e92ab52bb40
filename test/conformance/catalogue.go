package conformance

// Cases returns all cases: IPv4, IPv6, and what is neither.
func Cases() []Case {
	return append(cases4(), append(cases6(), casesEthernet()...)...)
}
