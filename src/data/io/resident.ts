/**
 * Returns pages of Node's own program file to the system: code and tables that only the start needed (compilers,
 * parsers, the start-up snapshot), 30 MB of resident memory. The kernel maps a page again when it is used, in a
 * microsecond, because the file stays in its page cache.
 */
import { readFileSync } from 'node:fs'
import type { Libc } from './libc.ts'

const MADV_DONTNEED = 4

/** A range of addresses. */
export type Range = { readonly at: number; readonly length: number }

/**
 * The mappings of one file that can be dropped without loss: never written, and not writable. Relocated tables are
 * read-only, too, but private copies. `smaps` is the text of /proc/PID/smaps.
 */
export const cleanMappings = (smaps: string, file: string): readonly Range[] =>
  smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap(mapping => {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \S+ +(.+)$/m.exec(mapping)
    if (!head || head[3] !== file || !/^Private_Dirty: +0 kB$/m.test(mapping)) return []
    const at = Number.parseInt(head[1]!, 16)
    return [{ at, length: Number.parseInt(head[2]!, 16) - at }]
  })

/** The program file of this process, as it is mapped into memory. */
export class Program {
  readonly #libc: Libc
  #mappings: readonly Range[] | undefined

  constructor(libc: Libc) {
    this.#libc = libc
  }

  /**
   * Drops its clean pages. Does nothing if the kernel does not show the mappings. The first call takes 15 ms, because
   * the kernel goes through all pages to list them; later ones know where they are, for they stay there.
   */
  release(): void {
    this.#mappings ??= cleanMappings(readSmaps(), process.execPath)
    for (const { at, length } of this.#mappings) this.#libc.madvise(at, length, MADV_DONTNEED)
  }
}

const readSmaps = (): string => {
  try {
    return readFileSync('/proc/self/smaps', 'latin1')
  } catch {
    return ''
  }
}
