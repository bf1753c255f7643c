import t from 'tap'
import { fc } from '../../fixture/property.ts'
import { hashQuestion, setHashKey } from '../../../src/data/cache/hash.ts'
import { FOLD, nameWire } from '../../../src/wire/name.ts'

const hash = (name: Uint8Array, qtype = 1, bits = 0): number => {
  // At an offset, so that octets around the name would change a wrong hash.
  const b = Buffer.concat([Buffer.alloc(3, 0x55), name, Buffer.alloc(5, 0xaa)])
  return hashQuestion(b, 3, 3 + name.length, qtype, bits)
}

/** HalfSipHash-1-3 over words, in its authors' form. */
const reference = (words: readonly number[], k0: number, k1: number): number => {
  const v = Uint32Array.of(k0, k1, 0x6c796765 ^ k0, 0x74656462 ^ k1)
  const rotate = (x: number, n: number): number => ((x << n) | (x >>> (32 - n))) >>> 0
  const round = (): void => {
    v[0]! += v[1]!
    v[1] = rotate(v[1]!, 5) ^ v[0]!
    v[0] = rotate(v[0]!, 16)
    v[2]! += v[3]!
    v[3] = rotate(v[3]!, 8) ^ v[2]!
    v[0]! += v[3]!
    v[3] = rotate(v[3]!, 7) ^ v[0]!
    v[2]! += v[1]!
    v[1] = rotate(v[1]!, 13) ^ v[2]!
    v[2] = rotate(v[2]!, 16)
  }
  for (const word of words) {
    v[3]! ^= word
    round()
    v[0]! ^= word
  }
  v[2]! ^= 0xff
  for (let i = 0; i < 3; i++) round()
  return (v[1]! ^ v[3]!) | 0
}
const wordsOf = (name: Uint8Array, qtype: number, bits: number): number[] => {
  const folded = Buffer.alloc(Math.ceil((name.length + 1) / 4) * 4)
  for (let i = 0; i < name.length; i++) folded[i] = FOLD[name[i]!]!
  folded[folded.length - 1] = name.length
  const words = []
  for (let at = 0; at < folded.length; at += 4) words.push(folded.readUInt32LE(at))
  return [...words, qtype | (bits << 16)]
}

t.test('it is HalfSipHash-1-3 of the folded name, type and bits', async t => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 255 }),
      fc.nat(65_535),
      fc.nat(3),
      fc.integer(),
      fc.integer(),
      (name, qtype, bits, k0, k1) => {
        setHashKey(k0, k1)
        return hash(name, qtype, bits) === reference(wordsOf(name, qtype, bits), k0, k1)
      },
    ),
    { numRuns: 500 },
  )
  t.pass()
})

t.test('it folds as the comparison does: letters, and no other octet', async t => {
  setHashKey(1, 2)
  for (let octet = 0; octet < 256; octet++) {
    for (let at = 1; at < 9; at++) {
      const name = Buffer.from('\x07aaaaaaa\x00', 'latin1')
      name[at % 8 === 0 ? 7 : at] = octet
      const other = Buffer.from(name)
      other[at % 8 === 0 ? 7 : at] = octet ^ 0x20
      const same = FOLD[octet] === FOLD[octet ^ 0x20]
      t.equal(hash(name) === hash(other), same, `octet ${octet}`)
    }
  }
})

/** Sets of names that collide under hashes that fold too much, or whose key only shifts them. */
const CRAFTS: Record<string, (i: number) => Buffer> = {
  'octets that differ in bit 0x20 only': i =>
    Buffer.from(
      `\x11${Array.from({ length: 17 }, (_, bit) => ((i >> bit) & 1 ? '1' : '\x11')).join('')}\x04test\x00`,
      'latin1',
    ),
  'one counter at the end': i => nameWire(`a${i}.example.org`)!,
  'two octets that cancel each other': i =>
    Buffer.from(
      `\x10${Array.from({ length: 8 }, (_, k) => ((i >> k) & 1 ? 'ab' : 'ba')).join('')}\x04${String(i).padStart(4, '0').slice(-4)}\x00`,
      'latin1',
    ),
}

t.test('crafted names spread like random ones, whatever the key', async t => {
  const N = 1 << 14
  for (const [craft, name] of Object.entries(CRAFTS))
    for (const key of [0, 1, 0x7fffffff]) {
      setHashKey(key, ~key)
      const names = new Set(Array.from({ length: N }, (_, i) => name(i).toString('latin1')))
      const perSlot = new Map<number, number>()
      for (const text of names) {
        const slot = hash(Buffer.from(text, 'latin1')) & (2 * N - 1)
        perSlot.set(slot, (perSlot.get(slot) ?? 0) + 1)
      }
      // With random places, n in 2n, more than 12 collisions in one place happen once in a million runs.
      t.ok(Math.max(...perSlot.values()) < 12, `${craft}: ${Math.max(...perSlot.values())}`)
      t.ok(names.size > N / 4)
    }
})
