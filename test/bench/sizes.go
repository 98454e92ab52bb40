package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"weft/test/traffic"
)

// Errors that callers tell apart.
var (
	ErrSize = errors.New("impossible frame size")
	ErrRate = traffic.ErrRate
)

const (
	checksumLen = 4 // of Ethernet: a frame's size has it, what a program makes has not
	headerLen   = 14

	// MinSize and MaxSize bound frame sizes. Frames of IPv6 have MinIPv6 at least: shorter ones are made so long.
	MinSize = traffic.MinFrame + checksumLen
	MaxSize = traffic.MaxFrame + checksumLen
	MinIPv6 = 84 // RFC 8219
)

// genome is the sizes of RFC 6985 4, by their letters. z is the MTU, which the caller knows.
var genome = map[rune]int{'a': 64, 'b': 128, 'c': 256, 'd': 512, 'e': 1024, 'f': 1280, 'g': 1518, 'h': 2112, 'i': 9000}

// imix is what "imix" stands for, in this order.
var imix = []int{64, 570, 64, 64, 570, 64, 1518, 64, 570, 64, 64, 570}

// ParseSizes reads frame sizes: numbers with commas, "imix", or a genome of RFC 6985 as "genome:aaag".
//
// Errors: ErrSize.
func ParseSizes(text string) (sizes []int, err error) {
	if text == "imix" {
		return slices.Clone(imix), nil
	}
	if letters, ok := strings.CutPrefix(text, "genome:"); ok {
		for _, l := range letters {
			size, known := genome[l]
			if !known {
				return nil, fmt.Errorf("%w: genome %q: letter %c, want a to i of RFC 6985", ErrSize, letters, l)
			}
			sizes = append(sizes, size)
		}
		if sizes == nil {
			return nil, fmt.Errorf("%w: a genome without letters: want some like genome:aaag", ErrSize)
		}
		return sizes, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		size, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("%w: %q: want bytes, imix, or genome:aaag (RFC 6985)", ErrSize, word)
		}
		if size < MinSize || size > MaxSize {
			return nil, fmt.Errorf("%w: %d bytes: want %d to %d", ErrSize, size, MinSize, MaxSize)
		}
		sizes = append(sizes, size)
	}
	if len(sizes) > traffic.MaxPattern {
		return nil, fmt.Errorf("%w: a pattern of %d frames: want at most %d", ErrSize, len(sizes), traffic.MaxPattern)
	}
	return sizes, nil
}

// checkMTU tells sizes that a link does not take.
func checkMTU(device string, mtu int, sizes []int) error {
	if longest := mtu + headerLen + checksumLen; slices.Max(sizes) > longest {
		return fmt.Errorf("%w: %d bytes do not fit the MTU of %s, which is %d: want at most %d, or raise it with 'ip link set %s mtu %d'",
			ErrSize, slices.Max(sizes), device, mtu, longest, device, slices.Max(sizes)-headerLen-checksumLen)
	}
	return nil
}

// kinds makes a pattern for sizes, of one family or of both in turns.
func kinds(sizes []int, v4, v6 bool) (pattern []traffic.Kind) {
	for _, s := range sizes {
		if v4 {
			pattern = append(pattern, traffic.Kind{Size: s - checksumLen})
		}
		if v6 {
			pattern = append(pattern, traffic.Kind{Size: max(s, MinIPv6) - checksumLen, IPv6: true})
		}
	}
	return pattern
}

// ParseRate reads packets a second: "max", or a number with k, M or G.
//
// Errors: ErrRate.
func ParseRate(text string) (rate float64, err error) {
	if text == "max" {
		return 0, nil
	}
	number, factor := text, 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, factor = n, f
		}
	}
	rate, err = strconv.ParseFloat(number, 64)
	rate *= factor
	if err != nil || math.IsNaN(rate) {
		return 0, fmt.Errorf("%w: %q: want packets a second, like 500, 100k or 1.5M, or max", ErrRate, text)
	}
	if rate < 0.001 || rate > traffic.MaxRate {
		return 0, fmt.Errorf("%w: %s packets a second: want 0.001 to %g, or max", ErrRate, text, traffic.MaxRate)
	}
	return rate, nil
}
