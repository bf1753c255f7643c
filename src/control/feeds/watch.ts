/**
 * Reports that files below a path may have changed: by inotify, which is fast, and periodically, which works on
 * every file system and after every kind of replacement. The caller reads the files to find out what changed.
 */
import { watch as watchFs, type FSWatcher } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fail } from '../../base/error.ts'

export type WatchOptions = {
  /** Interval of the periodic checks; default 5 s. */
  readonly everyMs?: number
  /** Wait after a notification, because an editor or a deployment writes several times; default 50 ms. */
  readonly quietMs?: number
}

export class Watch {
  readonly #paths: readonly string[]
  readonly #onTouch: () => void
  readonly #quietMs: number
  readonly #interval: NodeJS.Timeout
  #watchers: FSWatcher[] = []
  #soon: NodeJS.Timeout | undefined

  /** Calls `onTouch` whenever the files should be read, never before the constructor returns. */
  constructor(paths: readonly string[], onTouch: () => void, options: WatchOptions = {}) {
    this.#paths = paths
    this.#onTouch = onTouch
    this.#quietMs = options.quietMs ?? 50
    this.#interval = setInterval(onTouch, options.everyMs ?? 5_000)
    this.#interval.unref()
    this.#arm()
  }

  close(): void {
    clearInterval(this.#interval)
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

  #touched(): void {
    clearTimeout(this.#soon)
    this.#soon = setTimeout(this.#onTouch, this.#quietMs)
    this.#soon.unref()
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
