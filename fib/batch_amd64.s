#include "textflag.h"

// Twins of vector4 and vector6 in batch.go: 64 lookups at a time, as 4 groups of
// 16 that take turns, so that the cache misses of one group pass while the
// others work. walk6AVX512 does not follow links to the low half: such an entry
// is left in out as it is, with bit 31 set, and any is true.
//
// Registers: AX image, SI dst, DI out, CX addresses left
//   Z0, Z3, Z6, Z9        entries of the groups
//   Z1, Z4, Z7, Z10       their keys (IPv6: of lanes 0 to 7)
//   Z2, Z5, Z8, Z11       IPv6: keys of lanes 8 to 15
//   Z12..Z15              scratch
//   Z16 root  Z17 first wide entry  Z18 stride mask  Z19 wide offset mask
//   Z20 offset mask  Z21 bits of a key  Z22 kind narrow  Z23 0xffff
//   Z24 first node entry  Z25 mask of a word's offset  Z26 2  Z27 high halves
//   Z28 kind line  Z29 stride mask of narrow nodes  Z30 32
//   K1 lanes at work  K6 any lane at work  K7 any lane left as it is

#define BROADCAST(value, z) \
	MOVL value, DX \
	VPBROADCASTD DX, z

#define CONSTANTS \
	BROADCAST(root+8(FP), Z16) \
	BROADCAST($0xe0000000, Z17) \
	BROADCAST($63, Z18) \
	BROADCAST($0x1fffffc0, Z19) \
	BROADCAST($0x1fffffe0, Z20) \
	BROADCAST($6, Z22) \
	BROADCAST($0xffff, Z23) \
	BROADCAST($0x80000000, Z24) \
	BROADCAST($0xfffffffc, Z25) \
	BROADCAST($2, Z26) \
	BROADCAST($5, Z28) \
	BROADCAST($31, Z29) \
	BROADCAST($32, Z30) \
	KXORW K7, K7, K7

// WIDE4 takes the lanes of e that are at a wide node one further.
#define WIDE4(e, key, next) \
	VPCMPUD $5, Z17, e, K1 \
	KORTESTW K1, K1 \
	JZ next \
	KORW K1, K6, K6 \
	VPANDD Z18, e, Z12 \
	VPSUBD Z12, Z21, Z13 \
	VPSRLVD Z13, key, Z13 \
	VPSLLD $2, Z13, Z13 \
	VPANDD Z19, e, Z14 \
	VPADDD Z14, Z13, Z13 \
	KMOVW K1, K2 \
	VPGATHERDD (AX)(Z13*1), K2, e \
	VPSLLVD Z12, key, K1, key

#define WIDE6(e, low, high, next) \
	VPCMPUD $5, Z17, e, K1 \
	KORTESTW K1, K1 \
	JZ next \
	KORW K1, K6, K6 \
	VPANDD Z18, e, Z12 \
	VEXTRACTI64X4 $1, Z12, Y13 \
	VPMOVZXDQ Y12, Z12 \
	VPMOVZXDQ Y13, Z13 \
	VPSUBQ Z12, Z21, Z14 \
	VPSUBQ Z13, Z21, Z15 \
	VPSRLVQ Z14, low, Z14 \
	VPSRLVQ Z15, high, Z15 \
	VPMOVQD Z14, Y14 \
	VPMOVQD Z15, Y15 \
	VINSERTI64X4 $1, Y15, Z14, Z14 \
	VPSLLD $2, Z14, Z14 \
	VPANDD Z19, e, Z15 \
	VPADDD Z15, Z14, Z14 \
	KMOVW K1, K2 \
	VPGATHERDD (AX)(Z14*1), K2, e \
	KSHIFTRW $8, K1, K3 \
	VPSLLVQ Z12, low, K1, low \
	VPSLLVQ Z13, high, K3, high

// NARROW follows the entries that are narrow nodes; next has the next 32 bits
// of the keys. Leaves have 16 bits: the word around one is read.
#define NARROW(e, next, done) \
	VPSRLD $29, e, Z12 \
	VPCMPEQD Z22, Z12, K1 \
	KORTESTW K1, K1 \
	JZ done \
	VPANDD Z29, e, Z12 \
	VPSUBD Z12, Z30, Z12 \
	VPSRLVD Z12, next, Z12 \
	VPADDD Z12, Z12, Z12 \
	VPANDD Z20, e, Z13 \
	VPADDD Z13, Z12, Z12 \
	VPANDD Z25, Z12, Z13 \
	KMOVW K1, K2 \
	VPGATHERDD (AX)(Z13*1), K2, Z14 \
	VPANDD Z26, Z12, Z12 \
	VPSLLD $3, Z12, Z12 \
	VPSRLVD Z12, Z14, Z14 \
	VPANDD Z23, Z14, K1, e

// KEEP puts a group's entries and the next 32 bits of its keys where the search
// in lines finds them, and a bit for each line into r.
#define KEEP(at, kept, e, next, r) \
	VPSRLD $29, e, Z12 \
	VPCMPEQD Z28, Z12, K1 \
	KMOVW K1, r \
	VMOVDQU32 e, at \
	VMOVDQU32 next, kept

// LINES follows the entries that are lines: one comparison with all keys of a
// line, and those up to the address count.
#define LINES(next0, next1, next2, next3, again, done) \
	KEEP(entries-256(SP), keys-512(SP), Z0, next0, R8) \
	KEEP(entries-192(SP), keys-448(SP), Z3, next1, R9) \
	KEEP(entries-128(SP), keys-384(SP), Z6, next2, R10) \
	KEEP(entries-64(SP), keys-320(SP), Z9, next3, R11) \
	SHLQ $16, R9 \
	SHLQ $32, R10 \
	SHLQ $48, R11 \
	ORQ R9, R8 \
	ORQ R10, R8 \
	ORQ R11, R8 \
	JZ done \
again: \
	TZCNTQ R8, R9 \
	MOVL entries-256(SP)(R9*4), R10 \
	ANDL $0x1fffffe0, R10 \
	ADDQ AX, R10 \
	VPBROADCASTD keys-512(SP)(R9*4), Z12 \
	VPCMPUD $5, (R10), Z12, K5 \
	KMOVW K5, R11 \
	ANDL $0x3ff, R11 \
	POPCNTL R11, R11 \
	MOVWLZX 40(R10)(R11*2), R12 \
	MOVL R12, entries-256(SP)(R9*4) \
	BLSRQ R8, R8 \
	JNZ again \
	VMOVDQU32 entries-256(SP), Z0 \
	VMOVDQU32 entries-192(SP), Z3 \
	VMOVDQU32 entries-128(SP), Z6 \
	VMOVDQU32 entries-64(SP), Z9

#define STORE(e, off) \
	VPCMPUD $5, Z24, e, K3 \
	KORW K3, K7, K7 \
	VMOVDQU32 e, off(DI)

// func walk4AVX512(base unsafe.Pointer, root uint32, dst *uint32, n int, out *GroupID)
TEXT ·walk4AVX512(SB), NOSPLIT, $512-40
	MOVQ base+0(FP), AX
	CONSTANTS
	BROADCAST($32, Z21)
	MOVQ dst+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ out+32(FP), DI

begin:
	VMOVDQU32 0(SI), Z1
	VMOVDQU32 64(SI), Z4
	VMOVDQU32 128(SI), Z7
	VMOVDQU32 192(SI), Z10
	VMOVDQA32 Z16, Z0
	VMOVDQA32 Z16, Z3
	VMOVDQA32 Z16, Z6
	VMOVDQA32 Z16, Z9

round:
	KXORW K6, K6, K6
	WIDE4(Z0, Z1, wide1)
wide1:
	WIDE4(Z3, Z4, wide2)
wide2:
	WIDE4(Z6, Z7, wide3)
wide3:
	WIDE4(Z9, Z10, wide4)
wide4:
	KORTESTW K6, K6
	JNZ round

	NARROW(Z0, Z1, narrow1)
narrow1:
	NARROW(Z3, Z4, narrow2)
narrow2:
	NARROW(Z6, Z7, narrow3)
narrow3:
	NARROW(Z9, Z10, narrow4)
narrow4:
	LINES(Z1, Z4, Z7, Z10, line, store)
store:
	VMOVDQU32 Z0, 0(DI)
	VMOVDQU32 Z3, 64(DI)
	VMOVDQU32 Z6, 128(DI)
	VMOVDQU32 Z9, 192(DI)
	ADDQ $256, SI
	ADDQ $256, DI
	SUBQ $64, CX
	JNZ begin
	VZEROUPPER
	RET

DATA high<>+0(SB)/8, $0
DATA high<>+8(SB)/8, $2
DATA high<>+16(SB)/8, $4
DATA high<>+24(SB)/8, $6
DATA high<>+32(SB)/8, $8
DATA high<>+40(SB)/8, $10
DATA high<>+48(SB)/8, $12
DATA high<>+56(SB)/8, $14
GLOBL high<>(SB), RODATA|NOPTR, $64

// LOAD6 takes the high halves of 16 addresses, two registers of 4 addresses
// into each of low and high.
#define LOAD6(off, e, low, high) \
	VMOVDQU64 (off)(SI), Z12 \
	VMOVDQA64 Z27, low \
	VPERMI2Q (off+64)(SI), Z12, low \
	VMOVDQU64 (off+128)(SI), Z12 \
	VMOVDQA64 Z27, high \
	VPERMI2Q (off+192)(SI), Z12, high \
	VMOVDQA32 Z16, e

// NEXT6 leaves the next 32 bits of a group's keys in low.
#define NEXT6(low, high) \
	VPSRLQ $32, low, low \
	VPSRLQ $32, high, high \
	VPMOVQD low, Y12 \
	VPMOVQD high, Y13 \
	VINSERTI64X4 $1, Y13, Z12, low

// func walk6AVX512(base unsafe.Pointer, root uint32, dst *Addr6, n int, out *GroupID) (any bool)
TEXT ·walk6AVX512(SB), NOSPLIT, $512-41
	MOVQ base+0(FP), AX
	CONSTANTS
	MOVQ $64, DX
	VPBROADCASTQ DX, Z21
	VMOVDQU64 high<>(SB), Z27
	MOVQ dst+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ out+32(FP), DI

begin:
	LOAD6(0, Z0, Z1, Z2)
	LOAD6(256, Z3, Z4, Z5)
	LOAD6(512, Z6, Z7, Z8)
	LOAD6(768, Z9, Z10, Z11)

round:
	KXORW K6, K6, K6
	WIDE6(Z0, Z1, Z2, wide1)
wide1:
	WIDE6(Z3, Z4, Z5, wide2)
wide2:
	WIDE6(Z6, Z7, Z8, wide3)
wide3:
	WIDE6(Z9, Z10, Z11, wide4)
wide4:
	KORTESTW K6, K6
	JNZ round

	NEXT6(Z1, Z2)
	NEXT6(Z4, Z5)
	NEXT6(Z7, Z8)
	NEXT6(Z10, Z11)
	NARROW(Z0, Z1, narrow1)
narrow1:
	NARROW(Z3, Z4, narrow2)
narrow2:
	NARROW(Z6, Z7, narrow3)
narrow3:
	NARROW(Z9, Z10, narrow4)
narrow4:
	LINES(Z1, Z4, Z7, Z10, line, store)
store:
	STORE(Z0, 0)
	STORE(Z3, 64)
	STORE(Z6, 128)
	STORE(Z9, 192)
	ADDQ $1024, SI
	ADDQ $256, DI
	SUBQ $64, CX
	JNZ begin
	KORTESTW K7, K7
	SETNE any+40(FP)
	VZEROUPPER
	RET
