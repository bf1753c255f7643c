/**
 * Sources of a list of masters. Each is one function that returns the list or throws; schedule.ts decides when to
 * read again.
 */
import type { Endpoint } from '../../boundary/messages.ts'
import { fail, messageOf } from '../../base/error.ts'
import type { Http } from '../../http/client.ts'
import { familyOf, hostPort } from '../../base/ip.ts'
import { readText } from '../feeds/watch.ts'
import { mastersOf } from './list.ts'

/** With DC/OS's names; `port` is Mesos-DNS's port for entries without one. */
export type MasterSource = { readonly port: number } & (
  | { readonly source: 'static'; readonly addresses: readonly string[] }
  | { readonly source: 'file'; readonly file: string }
  | { readonly source: 'url'; readonly url: string }
  | { readonly source: 'exhibitor'; readonly exhibitor: string }
  | { readonly source: 'dns'; readonly name: string }
  | { readonly source: 'zk'; readonly zk: string }
)

/** The keys of the `masters` section that select the source. */
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

/** The source that a section selects. */
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

/** All addresses of a name, of both families; throws or returns [] if there is no answer. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<readonly string[]>

export type SourceNeeds = {
  readonly http: Http
  /** Only for source 'dns'. It must not depend on the list that it resolves. */
  readonly resolve?: Resolve
  /** Only for source 'zk': the hosts of the masters in ZooKeeper; [] before the first result. */
  readonly watched?: () => readonly string[]
}

/** Limit of a list in bytes. */
const MAX_BYTES = 256 * 1024
/** As in DC/OS since DCOS-9149. */
const DEADLINE_MS = 30_000

/** Path of the ensemble's status on an Exhibitor server. */
const EXHIBITOR_PATH = '/exhibitor/v1/cluster/status'

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch (er) {
    throw fail(`the list of masters is no JSON: ${messageOf(er)}`, 'EDATA')
  }
}

/** Sorted, so that the order is the same each time; DNS shuffles. */
const steady = (ips: readonly string[]): string[] =>
  [...ips].sort((a, b) => familyOf(a) - familyOf(b) || (a < b ? -1 : 1))

/** Reads the source now. Throws EHTTP, EDATA or the system's error. */
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
      // DC/OS sets EXHIBITOR_URI to the whole URL, others only name the server
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
