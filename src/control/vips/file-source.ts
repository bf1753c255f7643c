/**
 * The VIPs in `vips.files`, watched for changes. Files are independent: one with a mistake keeps its last good
 * content, and the mistake is logged once. A deleted file removes its VIPs; a folder that cannot be read at the
 * moment removes nothing.
 */
import { codeOf, messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import { Combined } from '../feeds/combined.ts'
import { filesAt, readText, Watch } from '../feeds/watch.ts'
import { sameVips, unionOf, type VipRecord } from '../../vip/record.ts'

/** Limit of files read from one folder. */
const MAX_FILES = 1_000
/** Limit of a file in bytes. */
const MAX_FILE_BYTES = 4 * 1024 * 1024
const ENDINGS = ['.yaml', '.yml', '.json']

export type VipFilesOptions = {
  /** Files, or folders of files. */
  readonly paths: readonly string[]
  readonly log: Log
  readonly onChange: (records: readonly VipRecord[]) => void
  /** Interval of checks without a notification. */
  readonly everyMs?: number
}

/** A file in the status. */
export type VipFileStatus = {
  readonly path: string
  readonly vips: number
  /** '' while its current content is in use. */
  readonly problem: string
}

type Entry = { text: string; records: readonly VipRecord[]; problem: string }

export class VipFiles {
  readonly #options: VipFilesOptions
  readonly #files = new Map<string, Entry>()
  /** Configured paths that could not be listed, and why. */
  readonly #missing = new Map<string, string>()
  #records: readonly VipRecord[] = []
  #watch: Watch | undefined
  readonly #looking = new Combined(() => this.#lookOnce())
  #closed = false

  constructor(options: VipFilesOptions) {
    this.#options = options
  }

  /** Reads everything once, then watches. */
  async start(): Promise<void> {
    const { paths, everyMs } = this.#options
    await this.look()
    if (this.#closed) return
    this.#watch = new Watch(paths, () => void this.look(), everyMs === undefined ? {} : { everyMs })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#watch?.close()
    await this.#looking.close()
  }

  get records(): readonly VipRecord[] {
    return this.#records
  }

  get status(): VipFileStatus[] {
    const files = [...this.#files].map(([path, { records, problem }]) => ({
      path,
      vips: records.length,
      problem,
    }))
    return [...files, ...[...this.#missing].map(([path, problem]) => ({ path, vips: 0, problem }))]
  }

  /** Reads the files now; calls during a read are combined into one more read. */
  look(): Promise<void> {
    return this.#looking.run()
  }

  async #lookOnce(): Promise<void> {
    const present = new Set<string>()
    for (const path of this.#options.paths) {
      const files = await this.#list(path)
      if (files === undefined) {
        // unreadable at the moment: the files below it stay
        for (const known of this.#files.keys()) if (known.startsWith(`${path}/`)) present.add(known)
        continue
      }
      for (const file of files.slice(0, MAX_FILES)) if (await this.#read(file)) present.add(file)
    }
    for (const path of this.#files.keys()) if (!present.has(path)) this.#files.delete(path)
    const records = unionOf(Array.from(this.#files.values(), file => file.records))
    if (this.#closed || sameVips(records, this.#records)) return
    this.#records = records
    this.#options.onChange(records)
  }

  /** The files below a configured path; none if it is gone, undefined if it cannot be read. */
  async #list(path: string): Promise<string[] | undefined> {
    try {
      const files = await filesAt(path, ENDINGS)
      this.#missing.delete(path)
      return files
    } catch (er) {
      if (!this.#missing.has(path)) {
        this.#options.log.warn('a path of vips.files cannot be read', { path, err: messageOf(er) })
      }
      this.#missing.set(path, messageOf(er))
      return codeOf(er) === 'ENOENT' ? [] : undefined
    }
  }

  /** Whether the file counts as present. */
  async #read(path: string): Promise<boolean> {
    const entry = this.#files.get(path) ?? { text: '', records: [], problem: '' }
    let text: string
    try {
      text = await readText(path, MAX_FILE_BYTES)
    } catch (er) {
      if (codeOf(er) === 'ENOENT') return false
      this.#complain(path, entry, messageOf(er))
      return true
    }
    if (this.#files.has(path) && text === entry.text) return true
    // Loaded on demand, so that nodes without such files do not load the YAML library.
    const { parseVipFile } = await import('../../vip/files.ts')
    const parsed = parseVipFile(text)
    if ('records' in parsed) {
      entry.records = parsed.records
      entry.problem = ''
      this.#options.log.info('a file of VIPs is in use', {
        file: path,
        vips: parsed.records.length,
      })
    } else {
      const { line, column, why } = parsed.problem
      this.#complain(path, entry, `line ${line}, column ${column}: ${why}`)
    }
    entry.text = text
    this.#files.set(path, entry)
    return true
  }

  #complain(path: string, entry: Entry, problem: string): void {
    this.#files.set(path, entry)
    if (entry.problem === problem) return
    entry.problem = problem
    this.#options.log.warn('a file of VIPs cannot be used, its last good content stays', {
      file: path,
      problem,
    })
  }
}
