package fib

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
)

// GroupKind says what becomes of a packet whose route leads to a group.
type GroupKind uint8

// Kinds of groups, as in enum fib_group_kind (a group with members is one of
// two there).
const (
	Forward   GroupKind = iota + 1 // to one of the members
	Local                          // to this machine
	Glean                          // attached subnet: resolve the packet's own destination on Port
	Blackhole                      // discard silently
	Reject                         // discard, and answer with ICMP destination unreachable, Code
	Punt                           // to the kernel, for Reason
)

// Mode is how the members of a group share its flows.
type Mode uint8

const (
	// HashThreshold gives each member a stretch of the hash space as long as
	// its weight (RFC 2992). A change of members moves flows between those
	// that stay.
	HashThreshold = Mode(layoutFibGroupModeFIB_MODE_HASH_THRESHOLD)
	// Resilient moves only the flows of a member that goes, and the share of
	// one that comes.
	Resilient = Mode(layoutFibGroupModeFIB_MODE_RESILIENT)
)

// Limits of a group.
const (
	MaxMembers = 256
	MaxWeight  = 1 << 16
	maxLog     = 16 // buckets: 2^16
)

// Member is one next hop of a group.
type Member struct {
	Adjacency AdjacencyID
	Weight    int // 1 to MaxWeight
}

// Group is a next-hop group. Fields that its kind does not have are zero.
type Group struct {
	Kind    GroupKind
	Mode    Mode
	Members []Member // of Forward: 1 to MaxMembers, each adjacency once
	Port    uint32   // of Glean
	MTU     uint16   // of Glean: of packets by the route, bytes; 0: the port's. Engines that leave such packets to the kernel do not look at it
	Code    uint8    // of Reject: 0 to 15, the code of the ICMP or ICMPv6 message
	Reason  uint16   // of Punt
}

func (im *Image) checkGroup(g *Group) error {
	if g.Kind != Forward && (len(g.Members) > 0 || g.Mode != 0) {
		return fmt.Errorf("%w: only a forwarding one has members and a mode", ErrGroup)
	}
	switch g.Kind {
	case Forward:
	case Glean:
		if g.Port == 0 {
			return fmt.Errorf("%w: glean on port 0", ErrGroup)
		}
		return nil
	case Reject:
		if g.Code > 15 {
			return fmt.Errorf("%w: code %d of ICMP destination unreachable, want 0 to 15", ErrGroup, g.Code)
		}
		return nil
	case Local, Blackhole, Punt:
		return nil
	default:
		return fmt.Errorf("%w: kind %d", ErrGroup, g.Kind)
	}
	if g.Mode != HashThreshold && g.Mode != Resilient {
		return fmt.Errorf("%w: mode %d", ErrGroup, g.Mode)
	}
	if n := len(g.Members); n < 1 || n > MaxMembers {
		return fmt.Errorf("%w: %d members, want 1 to %d", ErrGroup, n, MaxMembers)
	}
	for i, m := range g.Members {
		if m.Weight < 1 || m.Weight > MaxWeight {
			return fmt.Errorf("%w: member %d has weight %d, want 1 to %d", ErrGroup, i, m.Weight, MaxWeight)
		}
		if !im.hasAdjacency(m.Adjacency) {
			return fmt.Errorf("%w: member %d: %w: %d", ErrGroup, i, ErrNoAdjacency, m.Adjacency)
		}
		for j := range i {
			if g.Members[j].Adjacency == m.Adjacency {
				return fmt.Errorf("%w: members %d and %d are both adjacency %d: add their weights", ErrGroup, j, i, m.Adjacency)
			}
		}
	}
	return nil
}

// AddGroup makes a group.
//
// Errors: ErrGroup, ErrNoAdjacency, ErrFull; nothing has changed then.
func (im *Image) AddGroup(g Group) (GroupID, error) {
	if err := im.checkGroup(&g); err != nil {
		return 0, fmt.Errorf("add group: %w", err)
	}
	if !im.hasRoomForGroup() {
		return 0, fmt.Errorf("add group: %w", ErrFull)
	}
	if len(im.groupFree) == 0 {
		im.reclaim(false)
	}
	if len(im.groupFree) == 0 {
		// For memory it waits for readers: then a number may have come free instead.
		if err := im.growTable(&im.groups, 2*im.groups.count); err == nil {
			im.sizeState()
		} else if len(im.groupFree) == 0 {
			return 0, fmt.Errorf("add group: %w", err)
		}
	}
	// Off the list first: writing may reclaim other numbers onto it.
	id := im.groupFree[len(im.groupFree)-1]
	im.groupFree = im.groupFree[:len(im.groupFree)-1]
	if err := im.writeGroup(id, &g); err != nil {
		im.groupFree = append(im.groupFree, id)
		return 0, fmt.Errorf("add group: %w", err)
	}
	return GroupID(id), nil
}

// SetGroup changes a group by one store, whatever the number of routes that
// lead to it.
//
// Errors: ErrNoGroup, ErrGroup, ErrNoAdjacency, ErrFull; nothing has changed
// then.
func (im *Image) SetGroup(id GroupID, g Group) error {
	err := im.checkGroup(&g)
	if err == nil && !im.hasGroup(id) {
		err = ErrNoGroup
	}
	if err == nil {
		err = im.writeGroup(uint32(id), &g)
	}
	if err != nil {
		return fmt.Errorf("set group %d: %w", id, err)
	}
	return nil
}

// DeleteGroup removes a group that no route uses. Its number is not given out
// again while a reader may hold it.
//
// Errors: ErrNoGroup, ErrInUse; nothing has changed then.
func (im *Image) DeleteGroup(id GroupID) error {
	switch {
	case !im.hasGroup(id):
		return fmt.Errorf("delete group %d: %w", id, ErrNoGroup)
	case im.groupUse[id] > 0:
		return fmt.Errorf("delete group %d: %w: routes that name it: %d", id, ErrInUse, im.groupUse[id])
	}
	im.publishGroup(uint32(id), 0)
	// gofail: var fibGroupDeleted struct{}
	im.retire(retired{block{unit: uint32(id)}, retiredGroup})
	return nil
}

// GroupUse returns how many routes name a group.
func (im *Image) GroupUse(id GroupID) int {
	if !im.hasGroup(id) {
		return 0
	}
	return int(im.groupUse[id])
}

func (im *Image) hasGroup(id GroupID) bool {
	return id != 0 && uint32(id) < im.groups.count && im.load64(im.groups.at(uint32(id))) != 0
}

// Group returns a group as it was given.
//
// Errors: ErrNoGroup.
func (im *Image) Group(id GroupID) (Group, error) {
	if !im.hasGroup(id) {
		return Group{}, fmt.Errorf("%w: %d", ErrNoGroup, id)
	}
	return im.groupOf(im.load64(im.groups.at(uint32(id)))), nil
}

// Groups returns all groups, lowest number first. They must not change
// meanwhile.
func (im *Image) Groups() iter.Seq2[GroupID, Group] {
	return func(yield func(GroupID, Group) bool) {
		for id := range GroupID(im.groups.count) {
			if im.hasGroup(id) && !yield(id, im.groupOf(im.load64(im.groups.at(uint32(id))))) {
				return
			}
		}
	}
}

// groupWord is the one word by which a group is published.
type groupWord uint64

func newGroupWord(kind layoutFibGroupKind, log int, aux uint16, value uint32) groupWord {
	return groupWord(kind)<<groupKindShift | groupWord(log)<<groupLogShift | groupWord(aux)<<groupAuxShift | groupWord(value)
}

func (w groupWord) kind() layoutFibGroupKind { return layoutFibGroupKind(w >> groupKindShift) }
func (w groupWord) log() int                 { return int(w >> groupLogShift & 0xff) }
func (w groupWord) aux() uint16              { return uint16(w >> groupAuxShift) }
func (w groupWord) value() uint32            { return uint32(w) }

func (w groupWord) goKind() GroupKind {
	switch k := w.kind(); k {
	case layoutFibGroupKindFIB_GROUP_NONE:
		return 0
	case layoutFibGroupKindFIB_GROUP_SINGLE, layoutFibGroupKindFIB_GROUP_BUCKETS:
		return Forward
	default:
		return GroupKind(k-layoutFibGroupKindFIB_GROUP_LOCAL) + Local
	}
}

func (im *Image) groupOf(word uint64) Group {
	w := groupWord(word)
	g := Group{Kind: w.goKind()}
	switch w.kind() {
	case layoutFibGroupKindFIB_GROUP_SINGLE:
		g.Members = []Member{{AdjacencyID(w.value()), int(w.aux()) + 1}}
	case layoutFibGroupKindFIB_GROUP_BUCKETS:
		off := w.value() + 4<<w.log()
		g.Mode = Mode(im.load32(off))
		g.Members = make([]Member, im.load32(off+4))
		for i := range g.Members {
			m := off + 8 + 8*uint32(i)
			g.Members[i] = Member{AdjacencyID(im.load32(m)), int(im.load16(m+4)) + 1}
		}
	case layoutFibGroupKindFIB_GROUP_GLEAN:
		g.Port, g.MTU = w.value(), w.aux()
	case layoutFibGroupKindFIB_GROUP_REJECT:
		g.Code = uint8(w.aux())
	case layoutFibGroupKindFIB_GROUP_PUNT:
		g.Reason = w.aux()
	}
	return g
}

func bucketsSize(log, members int) uint32 { return 4<<log + 8 + 8*uint32(members) }

// writeGroup publishes a group whose content has been checked.
func (im *Image) writeGroup(id uint32, g *Group) error {
	var w groupWord
	switch g.Kind {
	case Forward:
		if len(g.Members) == 1 && g.Mode == HashThreshold {
			m := g.Members[0]
			w = newGroupWord(layoutFibGroupKindFIB_GROUP_SINGLE, 0, uint16(m.Weight-1), uint32(m.Adjacency))
			break
		}
		var err error
		if w, err = im.writeBuckets(id, g); err != nil {
			return err
		}
	case Glean:
		w = newGroupWord(layoutFibGroupKindFIB_GROUP_GLEAN, 0, g.MTU, g.Port)
	case Reject:
		w = newGroupWord(layoutFibGroupKindFIB_GROUP_REJECT, 0, uint16(g.Code), 0)
	case Punt:
		w = newGroupWord(layoutFibGroupKindFIB_GROUP_PUNT, 0, g.Reason, 0)
	default:
		w = newGroupWord(layoutFibGroupKind(g.Kind-Local)+layoutFibGroupKindFIB_GROUP_LOCAL, 0, 0, 0)
	}
	for _, m := range g.Members {
		im.adjacencyUse[m.Adjacency]++
	}
	im.publishGroup(id, uint64(w))
	return nil
}

// publishGroup stores a group's word and lets go of what the old one held.
func (im *Image) publishGroup(id uint32, word uint64) {
	at := im.groups.at(id)
	old := groupWord(im.load64(at))
	// gofail: var fibGroupWritten struct{}
	im.store64(at, word)
	// gofail: var fibGroupStored struct{}
	g := im.groupOf(uint64(old))
	for _, m := range g.Members {
		im.adjacencyUse[m.Adjacency]--
	}
	if old.kind() == layoutFibGroupKindFIB_GROUP_BUCKETS {
		im.discard(newBlock(old.value(), bucketsSize(old.log(), len(g.Members))))
	}
}

// writeBuckets makes the table of buckets of a group, and after it the members
// as they were given.
func (im *Image) writeBuckets(id uint32, g *Group) (groupWord, error) {
	buckets := im.fillBuckets(id, g)
	log := bits.Len(uint(len(buckets))) - 1
	b, err := im.allocate(orderFor(bucketsSize(log, len(g.Members))))
	if err != nil {
		return 0, err
	}
	off := b.offset()
	for i, m := range buckets {
		im.put32(off+4*uint32(i), uint32(g.Members[m].Adjacency))
	}
	off += 4 << log
	im.put32(off, uint32(g.Mode))
	im.put32(off+4, uint32(len(g.Members)))
	for i, m := range g.Members {
		im.put32(off+8+8*uint32(i), uint32(m.Adjacency))
		im.put32(off+12+8*uint32(i), uint32(m.Weight-1))
	}
	// gofail: var fibBucketsWritten struct{}
	return newGroupWord(layoutFibGroupKindFIB_GROUP_BUCKETS, log, 0, b.offset()), nil
}

// fillBuckets gives each bucket its member. Buckets are a power of two, as
// few as bring every member within 1 % of its share, if 2^16 do.
func (im *Image) fillBuckets(id uint32, g *Group) []int {
	log := 1
	if g.Mode == Resilient {
		log = 7 // leave room for members to come
	}
	for log < maxLog && !isFair(g.Members, 1<<log) {
		log++
	}
	if g.Mode == Resilient {
		if w := groupWord(im.load64(im.groups.at(id))); w.kind() == layoutFibGroupKindFIB_GROUP_BUCKETS {
			return im.moveBuckets(w, g, max(log, w.log()))
		}
	}
	buckets := make([]int, 0, 1<<log)
	for m, n := range shares(g.Members, 1<<log) {
		for range n {
			buckets = append(buckets, m)
		}
	}
	return buckets
}

// shares divides n buckets by weight. Each member gets one at least, and not
// more than one from its exact share.
func shares(members []Member, n int) []int {
	total := 0
	for _, m := range members {
		total += m.Weight
	}
	s := make([]int, len(members))
	sum, given, largest := 0, 0, 0
	for i, m := range members {
		sum += m.Weight
		s[i] = max(1, (sum*n+total/2)/total-given)
		given += s[i]
		if s[i] > s[largest] {
			largest = i
		}
	}
	s[largest] += n - given
	return s
}

func isFair(members []Member, n int) bool {
	if n < len(members) {
		return false
	}
	total := 0
	for _, m := range members {
		total += m.Weight
	}
	for i, s := range shares(members, n) {
		exact := float64(members[i].Weight) / float64(total) * float64(n)
		if d := float64(s) - exact; d > exact/100 || -d > exact/100 {
			return false
		}
	}
	return true
}

// moveBuckets changes the members of a resilient group: a bucket stays with its
// member, unless the member has gone or has more than its share. Shares are
// kept to 2 %, or one bucket where that is more, and not rounded anew: that
// would move buckets between members that stay.
func (im *Image) moveBuckets(w groupWord, g *Group, log int) []int {
	members := make(map[uint32]int, len(g.Members))
	total := 0
	for i, m := range g.Members {
		members[uint32(m.Adjacency)] = i
		total += m.Weight
	}
	const orphan = -1
	buckets, orphans := make([]int, 1<<log), 0
	has := make([]int, len(g.Members))
	for i := range buckets {
		// More buckets than before: each stands where the old one did.
		old := uint32(i >> (log - w.log()))
		m, ok := members[im.load32(w.value()+4*old)]
		if ok {
			has[m]++
		} else {
			m = orphan
			orphans++
		}
		buckets[i] = m
	}
	came := make([]bool, len(has))
	for m, n := range has {
		came[m] = n == 0
	}
	// lacks is how far a member is below its share: from -1 to 1 is near enough.
	lacks := func(m int) float64 {
		if has[m] == 0 {
			return math.Inf(1) // each has one at least
		}
		share := float64(g.Members[m].Weight<<log) / float64(total)
		return (share - float64(has[m])) / max(share/50, 0.999)
	}
	gets, gives := make([]int, len(has)), make([]int, len(has))
	for range 2 * len(buckets) {
		to, from, newest := 0, orphan, orphan
		for m := range has {
			n := lacks(m)
			if n > lacks(to) {
				to = m
			}
			if has[m] > 1 && (from == orphan || n < lacks(from)) {
				from = m
			}
			if came[m] && n > -1 && (newest == orphan || n > lacks(newest)) {
				newest = m
			}
		}
		if orphans == 0 {
			if from == orphan || lacks(to) <= 1 && lacks(from) >= -1 {
				break
			}
			if newest != orphan && (lacks(newest) > 0 || lacks(to) <= 1) {
				to = newest
			}
			if to == from {
				break
			}
			has[from]--
			gives[from]++
			orphans++
		}
		orphans--
		has[to]++
		gets[to]++
	}
	next := 0
	for i, m := range buckets {
		if m != orphan && gives[m] == 0 {
			continue
		}
		if m != orphan {
			gives[m]--
		}
		for gets[next] == 0 {
			next++
		}
		gets[next]--
		buckets[i] = next
	}
	return buckets
}

// Next is what to do with one packet of a group.
type Next struct {
	Kind      GroupKind   // 0: there is no such group, as no route
	Adjacency AdjacencyID // of Forward
	Port      uint32      // of Glean
	MTU       uint16      // of Glean
	Code      uint8       // of Reject
	Reason    uint16      // of Punt
}

// Next resolves a group for a packet with this flow hash. Readers may call it:
// it does not allocate. BPF's fib_next is its twin.
func (im *Image) Next(id GroupID, hash uint32) Next {
	t := im.load64(offGroups)
	if uint32(id) >= uint32(t) {
		return Next{}
	}
	w := groupWord(im.load64(uint32(t>>tableShift) + 8*uint32(id)))
	n := Next{Kind: w.goKind()}
	switch w.kind() {
	case layoutFibGroupKindFIB_GROUP_SINGLE:
		n.Adjacency = AdjacencyID(w.value())
	case layoutFibGroupKindFIB_GROUP_BUCKETS:
		n.Adjacency = AdjacencyID(im.load32(w.value() + 4*(hash>>(32-w.log()))))
	case layoutFibGroupKindFIB_GROUP_GLEAN:
		n.Port, n.MTU = w.value(), w.aux()
	case layoutFibGroupKindFIB_GROUP_REJECT:
		n.Code = uint8(w.aux())
	case layoutFibGroupKindFIB_GROUP_PUNT:
		n.Reason = w.aux()
	}
	return n
}
