/**
 * The places a list of masters can come from. Each is one function that gives
 * the list or throws; when to ask again is decided in schedule.ts.
 */
import type { Endpoint } from '../../boundary/messages.ts'
import { fail, messageOf } from '../../base/error.ts'
import type { Http } from '../../http/client.ts'
import { familyOf, hostPort } from '../../base/ip.ts'
import { readText } from '../feeds/watch.ts'
import { mastersOf } from './list.ts'

/** As DC/OS names them; `port` is that of Mesos-DNS where an entry names none. */
export type MasterSource = { readonly port: number } & (
  | { readonly source: 'static'; readonly addresses: readonly string[] }
  | { readonly source: 'file'; readonly file: string }
  | { readonly source: 'url'; readonly url: string }
  | { readonly source: 'exhibitor'; readonly exhibitor: string }
  | { readonly source: 'dns'; readonly name: string }
  | { readonly source: 'zk'; readonly zk: string }
)

/** The `masters` section of a configuration, as far as it says where the list comes from. */
export type MastersSection = {
  readonly source: MasterSource['source']
  readonly port: number
  readonly addresses: readonly Endpoint[]
  readonly file: string
  readonly url: string
  readonly exhibitor: string
  readonly name: string
  readonly zk: string
}

/** The source of a section. */
export const masterSource = (section: MastersSection): MasterSource => {
  const { source, port } = section
  switch (source) {
    case 'static': {
      const addresses = section.addresses.map(at => hostPort(at.address, at.port))
      return { source, port, addresses }
    }
    case 'file':
      return { source, port, file: section.file }
    case 'url':
      return { source, port, url: section.url }
    case 'exhibitor':
      return { source, port, exhibitor: section.exhibitor }
    case 'dns':
      return { source, port, name: section.name }
    case 'zk':
      return { source, port, zk: section.zk }
  }
}

/** All addresses of a name, of both families; throws or gives none if there is no answer. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<readonly string[]>

export type SourceNeeds = {
  readonly http: Http
  /** Only for source 'dns'. Must not go through the list it helps to find. */
  readonly resolve?: Resolve
  /** Only for source 'zk': the hosts of the masters as ZooKeeper tells them; [] while it has told none. */
  readonly watched?: () => readonly string[]
}

/** Longer lists are no lists of masters. */
const MAX_BYTES = 256 * 1024
/** As the originals waited (since DCOS-9149; for ever before). */
const DEADLINE_MS = 30_000

/** Where Exhibitor keeps the status of its ensemble, below its base URL. */
const EXHIBITOR_PATH = '/exhibitor/v1/cluster/status'

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch (er) {
    throw fail(`the list of masters is no JSON: ${messageOf(er)}`, 'EDATA')
  }
}

/** v4 before v6 and in numerical order of neither: only the same each time, as DNS shuffles. */
const steady = (ips: readonly string[]): string[] =>
  [...ips].sort((a, b) => familyOf(a) - familyOf(b) || (a < b ? -1 : 1))

/** Ask the source now. Throws EHTTP, EDATA or the system's error. */
export const readMasters = async (
  source: MasterSource,
  { http, resolve, watched }: SourceNeeds,
  signal: AbortSignal,
): Promise<Endpoint[]> => {
  const { port } = source
  const fetched = async (url: string): Promise<Endpoint[]> =>
    mastersOf(
      await http.getJson(url, {
        deadlineMs: DEADLINE_MS,
        maxBytes: MAX_BYTES,
        redirects: 3,
        signal,
      }),
      port,
    )
  switch (source.source) {
    case 'static':
      return mastersOf(source.addresses, port)
    case 'file':
      return mastersOf(parsed(await readText(source.file, MAX_BYTES)), port)
    case 'url':
      return fetched(source.url)
    case 'exhibitor': {
      const base = source.exhibitor.replace(/\/$/, '')
      // DC/OS names the whole URL in EXHIBITOR_URI, others the server only
      return fetched(base.endsWith(EXHIBITOR_PATH) ? base : `${base}${EXHIBITOR_PATH}`)
    }
    case 'dns': {
      if (!resolve) throw fail('there is nothing to resolve the name of the masters with', 'ESTATE')
      return mastersOf(steady(await resolve(source.name, signal)), port)
    }
    case 'zk': {
      const hosts = watched?.() ?? []
      if (hosts.length === 0) throw fail('ZooKeeper has named no master yet', 'EDATA')
      return mastersOf(steady(hosts), port)
    }
  }
}
