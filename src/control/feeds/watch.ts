/**
 * Reports that files below a path may have changed. Their size, times and inodes are compared, soon after a
 * notification of inotify, and periodically, which works on every file system and after every kind of replacement. The
 * caller reads the files to find out what changed.
 */
import { watch as watchFs, type FSWatcher } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf, fail } from '../../base/error.ts'
import { together } from '../../base/together.ts'

export type WatchOptions = {
  /** Interval of the periodic checks; default 5 s. */
  readonly everyMs?: number
  /** Wait after a notification, because an editor or a deployment writes several times; default 50 ms. */
  readonly quietMs?: number
}

/**
 * Every change is reported a second time, this many periodic checks later. Some file systems store times in steps of
 * two seconds, so a file that is written twice within that time looks the same after the second write.
 */
const COARSE_CHECKS = 2
/** One of this many checks reports a change in any case, for a caller that could not read the files for a while. */
const ALWAYS_EVERY = 120

export class Watch {
  readonly #paths: readonly string[]
  readonly #onTouch: () => void
  readonly #quietMs: number
  readonly #end: () => void
  #watchers: FSWatcher[] = []
  #soon: NodeJS.Timeout | undefined
  /** What the last check found; undefined before the first. */
  #found: string | undefined
  #unchanged = 0
  #checking = false
  /** A notification came during a check, which may have seen the state before it. */
  #again = false
  #closed = false

  /** Calls `onTouch` whenever the files should be read, never before the constructor returns. */
  constructor(paths: readonly string[], onTouch: () => void, options: WatchOptions = {}) {
    this.#paths = paths
    this.#onTouch = onTouch
    this.#quietMs = options.quietMs ?? 50
    this.#end = together(options.everyMs ?? 5_000, () => void this.#check(true))
    this.#arm()
  }

  close(): void {
    this.#closed = true
    this.#end()
    clearTimeout(this.#soon)
    for (const watcher of this.#watchers) watcher.close()
    this.#watchers = []
  }

  #arm(): void {
    // a file is watched through its folder, because a rename over it would leave us watching the old file
    for (const path of new Set(this.#paths.flatMap(p => [p, dirname(p)]))) {
      try {
        const watcher = watchFs(path, { persistent: false }, () => this.#touched())
        // the periodic check handles a folder that was removed
        watcher.on('error', () => watcher.close())
        this.#watchers.push(watcher)
      } catch {
        // missing, or no inotify watches left: the periodic check handles it
      }
    }
  }

  /**
   * A file system that hangs delays only this check: they never overlap.
   * @param periodic counts towards the check that reports a change in any case
   */
  async #check(periodic: boolean): Promise<void> {
    if (this.#checking) {
      this.#again ||= !periodic
      return
    }
    this.#checking = true
    const found = (await Promise.all(this.#paths.map(path => stateOf(path)))).join('\n')
    this.#checking = false
    if (this.#closed) return
    if (this.#again) {
      this.#again = false
      this.#touched()
    }
    if (periodic) this.#unchanged++
    if (found !== this.#found) this.#unchanged = 0
    else if (!periodic || (this.#unchanged !== COARSE_CHECKS && this.#unchanged < ALWAYS_EVERY))
      return
    if (this.#unchanged >= ALWAYS_EVERY) this.#unchanged = COARSE_CHECKS
    this.#found = found
    this.#onTouch()
  }

  /** Not yet a change: the folder of a file may hold others, which are written all the time. */
  #touched(): void {
    clearTimeout(this.#soon)
    this.#soon = setTimeout(() => void this.#check(false), this.#quietMs)
    this.#soon.unref()
  }
}

/** What changes if a file, or a file directly in a folder, is written, replaced or made readable. */
const stateOf = async (path: string, deep = true): Promise<string> => {
  try {
    const one = await stat(path, { bigint: true })
    const { ino, size, mtimeNs, ctimeNs } = one
    const names = one.isDirectory() && deep ? await readdir(path) : []
    const below = await Promise.all(names.map(name => stateOf(join(path, name), false)))
    return [ino, size, mtimeNs, ctimeNs, ...below].join(' ')
  } catch (er) {
    return codeOf(er)
  }
}

/** A file's text; throws EDATA if it is longer than `maxBytes`, and the system's error if it cannot be read. */
export const readText = async (path: string, maxBytes: number): Promise<string> => {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    // the reported size may be wrong (pipes, /proc), so the data read is checked, too
    if (size > maxBytes) throw fail(`${path} is longer than ${maxBytes} bytes`, 'EDATA')
    const buffer = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(size, 65_536)) + 1)
    let have = 0
    while (have < buffer.length) {
      const { bytesRead } = await file.read(buffer, have, buffer.length - have, null)
      if (bytesRead === 0) return buffer.toString('utf8', 0, have)
      have += bytesRead
    }
    throw fail(`${path} is longer than ${maxBytes} bytes`, 'EDATA')
  } finally {
    await file.close()
  }
}

/** The files for a path: the file itself, or the files in the folder with one of these endings, sorted. */
export const filesAt = async (path: string, endings: readonly string[]): Promise<string[]> => {
  if (!(await stat(path)).isDirectory()) return [path]
  const names = await readdir(path)
  return names
    .filter(name => !name.startsWith('.') && endings.some(ending => name.endsWith(ending)))
    .sort()
    .map(name => join(path, name))
}
