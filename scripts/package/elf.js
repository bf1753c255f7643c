/** What a program or library for 64-bit Linux needs to be loaded, read from its own headers. */
import { readFileSync } from 'node:fs'

const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const DT_NEEDED = 1
const DT_STRTAB = 5

/**
 * @param {string} path
 * @returns {{ interpreter: string, needed: string[] }} the path of the loader ('' if none), and names of libraries
 */
export const loadedBy = path => {
  const file = readFileSync(path)
  // 64 bits, little endian: both processors that we package for.
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error(`${path} is no 64-bit ELF file`)
  const u64 = at => Number(file.readBigUInt64LE(at))
  const text = at => file.toString('utf8', at, file.indexOf(0, at))
  const [start, size, count] = [u64(32), file.readUInt16LE(54), file.readUInt16LE(56)]
  const segments = Array.from({ length: count }, (_, i) => start + i * size).map(at => ({
    type: file.readUInt32LE(at),
    offset: u64(at + 8),
    address: u64(at + 16),
    length: u64(at + 32),
  }))
  const of = type => segments.filter(segment => segment.type === type)
  /** Where an address of the loaded program stands in the file. */
  const inFile = address => {
    const home = of(PT_LOAD).find(s => address >= s.address && address < s.address + s.length)
    return home ? address - home.address + home.offset : 0
  }
  const dynamic = of(PT_DYNAMIC).flatMap(({ offset, length }) =>
    Array.from({ length: length / 16 }, (_, i) => offset + i * 16).map(at => [
      u64(at),
      u64(at + 8),
    ]),
  )
  const strings = inFile(dynamic.find(([tag]) => tag === DT_STRTAB)?.[1] ?? 0)
  return {
    interpreter: of(PT_INTERP).map(({ offset }) => text(offset))[0] ?? '',
    needed: dynamic.filter(([tag]) => tag === DT_NEEDED).map(([, name]) => text(strings + name)),
  }
}
