/**
 * File access of `spartan resolvconf`: reads the host's files for a plan, and executes its steps. Texts have one
 * character per octet, so that files are restored exactly. `root` is / or the root folder of a host that is not
 * running; then no program is reloaded.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  existsSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { codeOf, fail, messageOf } from '../../base/error.ts'
import { putFile, readText } from '../replace-file.ts'
import { DROP_INS, RECORD, type HostState, type Kept, type Step } from './plan.ts'
import type { ResolvFile } from './recognise.ts'

const RESOLV_CONF = '/etc/resolv.conf'
/** Only root may write here, because its content is later written to /etc. */
const KEPT = '/var/lib/spartan-resolvconf/kept.json'
/** NetworkManager writes here what it would write to /etc/resolv.conf. */
const NETWORK_MANAGER_COPY = '/run/NetworkManager/resolv.conf'
const MAX_LINKS = 40

export class ResolvHost {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  /** @throws EDATA if a file cannot be read */
  state(): HostState {
    const dropIns = DROP_INS.map(path => [path, this.#text(path)] as const)
    return {
      file: this.fileAt(RESOLV_CONF),
      kept: this.#kept(),
      nsswitch: this.#text('/etc/nsswitch.conf'),
      dropIns: Object.fromEntries(dropIns.filter(([, text]) => text !== '')),
      missing: DROP_INS.map(dirname).filter(folder => !existsSync(this.#path(folder))),
      networkManager: existsSync(this.#path(dirname(NETWORK_MANAGER_COPY))),
    }
  }

  /**
   * Executes the steps in order.
   * @returns harmless failures, one sentence each @throws EDATA at the first file that cannot be written
   */
  take(steps: readonly Step[]): string[] {
    return steps.flatMap(step => this.#step(step) ?? [])
  }

  #step(step: Step): string | undefined {
    switch (step.do) {
      case 'keep':
        return this.#write(KEPT, `${JSON.stringify(step.kept, null, 2)}\n`)
      case 'write':
        return this.#write(RESOLV_CONF, step.text)
      case 'put back':
        return this.#putBack(step.was)
      case 'drop-in':
        return this.#write(step.path, step.text)
      case 'remove':
        return this.#remove(step.path)
      case 'remove folder':
        return this.#removeFolder(step.path)
      case 'reload':
        return this.#run(['systemctl', 'try-reload-or-restart', step.unit])
      case 'register':
        return this.#run(['resolvconf', '-a', RECORD], step.text)
      case 'unregister':
        return this.#run(['resolvconf', '-d', RECORD])
      case 'forget':
        return this.#remove(KEPT)
    }
  }

  #path(path: string): string {
    return join(this.#root, path)
  }

  #text(path: string): string {
    return readText(this.#path(path), 'latin1')
  }

  /** The file at an absolute path of the host. */
  fileAt(at: string): ResolvFile {
    const path = this.#path(at)
    let target: string
    try {
      target = readlinkSync(path)
    } catch (er) {
      if (codeOf(er) === 'ENOENT') return { kind: 'absent' }
      return this.#regular(path)
    }
    const leadsTo = this.#end(resolve(dirname(at), target))
    return { kind: 'link', target, leadsTo, text: this.#text(leadsTo) }
  }

  #regular(path: string): ResolvFile {
    const text = readText(path, 'latin1')
    const fd = openSync(path, 'r')
    try {
      const { mode, uid, gid } = fstatSync(fd)
      return { kind: 'file', text, mode: mode & 0o777, uid, gid }
    } finally {
      closeSync(fd)
    }
  }

  /** The path at the end of a chain of links that all stay inside the root. */
  #end(path: string): string {
    let at = path
    for (let i = 0; i < MAX_LINKS; i++) {
      try {
        at = resolve(dirname(at), readlinkSync(this.#path(at)))
      } catch {
        return at
      }
    }
    throw fail(`${RESOLV_CONF} is a loop of symbolic links`, 'EDATA')
  }

  #kept(): Kept | undefined {
    const json = this.#text(KEPT)
    if (json === '') return undefined
    let kept: Kept
    try {
      kept = JSON.parse(json) as Kept
    } catch (er) {
      throw fail(`${KEPT} is damaged: ${messageOf(er)}`, 'EDATA', { cause: er })
    }
    if (typeof kept?.manager !== 'string' || typeof kept.was?.kind !== 'string')
      throw fail(`${KEPT} is damaged: it does not say what was there`, 'EDATA')
    // The program whose file it was may have changed it meanwhile, for example with a new search list.
    const { was } = kept
    const current =
      was.kind === 'link'
        ? was.leadsTo
        : kept.manager === 'NetworkManager'
          ? NETWORK_MANAGER_COPY
          : undefined
    const text = current === undefined ? '' : this.#text(current)
    return text && was.kind !== 'absent' ? { ...kept, was: { ...was, text } } : kept
  }

  #write(path: string, text: string): undefined {
    mkdirSync(dirname(this.#path(path)), { recursive: true, mode: 0o755 })
    putFile(this.#path(path), text, 'latin1')
  }

  #remove(path: string): undefined {
    rmSync(this.#path(path), { force: true })
  }

  #removeFolder(path: string): undefined {
    try {
      rmdirSync(this.#path(path))
    } catch (er) {
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(er))) throw er
    }
  }

  #putBack(was: ResolvFile): string | undefined {
    const path = this.#path(RESOLV_CONF)
    if (was.kind === 'absent') return this.#remove(RESOLV_CONF)
    if (was.kind === 'link') {
      const beside = `${path}.spartan`
      rmSync(beside, { force: true })
      symlinkSync(was.target, beside)
      renameSync(beside, path)
      return
    }
    putFile(path, was.text, 'latin1')
    // A file that is mounted there is overwritten in place and keeps its owner.
    chmodSync(path, was.mode)
    const { uid, gid } = lstatSync(path)
    if (uid === was.uid && gid === was.gid) return undefined
    try {
      chownSync(path, was.uid, was.gid)
    } catch (er) {
      return `${RESOLV_CONF} belongs to user ${uid} and not to ${was.uid}, as before: ${messageOf(er)}`
    }
  }

  /** Runs another program; it is not an error if that is missing or not running. */
  #run([command = '', ...args]: readonly string[], input = ''): string | undefined {
    if (this.#root !== '/') return undefined
    const { status, error, stderr } = spawnSync(command, args, {
      input,
      encoding: 'utf8',
      timeout: 20_000,
    })
    if (status === 0) return undefined
    const why = error ? messageOf(error) : stderr.trim().split('\n')[0] || `status ${status}`
    return `${[command, ...args].join(' ')}: ${why}`
  }
}
