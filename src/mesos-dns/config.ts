/**
 * Reads an unchanged configuration file of Mesos-DNS: JSON, with keys in any case. Wrong values are refused with
 * their key; keys without effect here are listed in a warning. Three keys are additions: `compat`, `allow` and
 * `mesosHTTPSInsecure`.
 */
import { readFileSync } from 'node:fs'
import type { Endpoint } from '../boundary/messages.ts'
import { isBelow, parseAddress, parseName, parseNetwork, parseTarget } from '../config/address.ts'
import { fail, messageOf } from '../base/error.ts'
import { ipFamily } from '../base/ip.ts'
import { Given, refused, shown, type Key } from './config-keys.ts'
import { IP_SOURCES, type IpSource } from '../mesos/mesos-dns-names/record.ts'
import type { Settings } from './settings.ts'

/** The settings, and warnings for the operator. */
export type ReadConfig = {
  readonly settings: Settings
  /** One sentence each. */
  readonly warnings: readonly string[]
}

const nameOf = (key: Key, text: string): string => {
  const read = parseName(text)
  if ('problem' in read) throw refused(key, `is no domain name: ${read.problem}`)
  return read.value
}

const addressOf = (key: Key, text: string): string => {
  const read = parseAddress(text)
  if ('problem' in read || read.value.port !== undefined)
    throw refused(key, `must be an IP address, not ${shown(text)}`)
  return read.value.address
}

const resolversOf = (key: Key, list: readonly string[]): Endpoint[] => {
  const all = list.map(text => {
    const read = parseTarget(text)
    if ('problem' in read) throw refused(key, `holds what is no IP or IP:port: ${read.problem}`)
    return { address: read.value.address, port: read.value.port ?? 53 }
  })
  const distinct = new Set(all.map(one => `${one.address} ${one.port}`))
  if (distinct.size < all.length) throw refused(key, 'holds the same server twice')
  return all
}

const mastersOf = (list: readonly string[]): readonly string[] => {
  for (const master of list) {
    const [, host = '', port = ''] = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(master) ?? []
    if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
      throw refused('masters', `must hold host:port each, not ${shown(master)}`)
    }
  }
  if (new Set(list).size < list.length) throw refused('masters', 'holds the same master twice')
  return list
}

const sourcesOf = (list: readonly string[]): readonly IpSource[] => {
  const known = (one: string): one is IpSource => (IP_SOURCES as readonly string[]).includes(one)
  if (list.length === 0) throw refused('IPSources', 'must not be empty')
  if (new Set(list).size < list.length) throw refused('IPSources', 'holds the same source twice')
  return list.map(one => {
    if (!known(one))
      throw refused('IPSources', `may hold ${IP_SOURCES.join(', ')}, not ${shown(one)}`)
    return one
  })
}

const zonesOf = (given: Given, domain: string): Record<string, readonly Endpoint[]> => {
  const zones: Record<string, readonly Endpoint[]> = {}
  for (const [word, list] of Object.entries(given.lists('zoneResolvers'))) {
    const zone = nameOf('zoneResolvers', word)
    if (isBelow(zone, domain))
      throw refused('zoneResolvers', `names ${zone}, which is answered here`)
    if (list.length === 0) throw refused('zoneResolvers', `has no resolver for ${zone}`)
    zones[zone] = resolversOf('zoneResolvers', list)
  }
  return zones
}

/** Replaces a `zk` value that is not a valid URL by an error. */
const zkOf = (text: string): string => {
  if (text !== '' && !/^zk:\/\/([^/@]*@)?[^/,]+(,[^/,]+)*(\/.*)?$/.test(text)) {
    throw refused('zk', 'must have the form zk://host:port,host:port/path')
  }
  return text
}

const credentialsOf = (given: Given): Pick<Settings, 'authentication' | 'principal' | 'secret'> => {
  const authentication = given.text('mesosAuthentication')
  const fields = given.fields('mesosCredentials')
  const field = (name: string): string => {
    const value = fields.get(name) ?? ''
    // the value is not shown, because it may be the secret
    if (typeof value !== 'string')
      throw refused('mesosCredentials', `must hold a string as ${name}`)
    return value
  }
  const [principal, secret] = [field('principal'), field('secret')]
  if (authentication !== '' && authentication !== 'basic' && authentication !== 'iam') {
    throw refused(
      'mesosAuthentication',
      `may be "", "basic" or "iam", not ${shown(authentication)}`,
    )
  }
  if (authentication === 'basic' && principal === '' && secret === '') {
    throw refused('mesosCredentials', 'must be given for mesosAuthentication basic')
  }
  if (authentication === 'iam' && given.text('iamConfigFile') === '') {
    throw refused('iamConfigFile', 'must be given for mesosAuthentication iam')
  }
  if (authentication === '' && principal !== '') {
    given.warnings.push(
      'mesosCredentials is given but not used, because mesosAuthentication is none',
    )
  }
  return { authentication, principal, secret }
}

/** Mesos-DNS does not verify certificates without a CA file; here that must be requested. */
const httpsOf = (given: Given): Pick<Settings, 'mesosHttps' | 'mesosHttpsInsecure'> => {
  const mesosHttps = given.flag('mesosHTTPSOn', false)
  const mesosHttpsInsecure = given.flag('mesosHTTPSInsecure', false)
  const hasCa = given.text('caCertFile') !== ''
  if (mesosHttpsInsecure && hasCa)
    throw refused('mesosHTTPSInsecure', 'contradicts caCertFile: a CA file is for verifying')
  if (mesosHttps && !hasCa)
    given.warnings.push(
      mesosHttpsInsecure
        ? 'the certificates of the masters are not verified (mesosHTTPSInsecure), as in the original: whoever is between can read the credentials and change the records'
        : 'mesosHTTPSOn without caCertFile: the certificates of the masters are verified against public authorities. The original verifies nothing then. Name the CA of the masters in caCertFile, or set mesosHTTPSInsecure true to do as the original',
    )
  if (mesosHttpsInsecure && !mesosHttps)
    given.warnings.push('mesosHTTPSInsecure has no effect without mesosHTTPSOn')
  return { mesosHttps, mesosHttpsInsecure }
}

const compatOf = (given: Given): boolean => {
  const compat = given.text('compat')
  if (compat !== '' && compat !== 'mesos-dns') throw refused('compat', 'may only be "mesos-dns"')
  const on = compat !== ''
  if (!on && given.has('setTruncateBit') && !given.flag('setTruncateBit', true)) {
    given.warnings.push(
      'setTruncateBit false has no effect without compat: an answer that is cut always says so',
    )
  }
  if (!on && given.has('recurseOn') && !given.flag('recurseOn', true)) {
    given.warnings.push('recurseOn false has no effect without compat')
  }
  return on
}

const networksOf = (given: Given, open: boolean): readonly string[] => {
  if (!given.has('allow')) {
    // As Mesos-DNS does: the agents may be in any network.
    if (open)
      given.warnings.push(
        'anyone who can reach this server may ask it for names outside the domain; allow limits that to networks',
      )
    return ['0.0.0.0/0', '::/0']
  }
  return given.list('allow').map(text => {
    const read = parseNetwork(text)
    if ('problem' in read) throw refused('allow', `holds what is no network: ${read.problem}`)
    return read.value
  })
}

/**
 * Converts a parsed file to settings. Throws ECONFIG with `key` and `reason`. `localResolvers` are those of this
 * host, used if none are configured.
 */
export const settingsFromJson = (
  json: unknown,
  file: string,
  localResolvers: readonly string[],
): ReadConfig => {
  const given = new Given(json)
  const domain = nameOf('domain', given.text('domain', 'mesos'))
  const masters = mastersOf(given.list('masters'))
  const zk = zkOf(given.text('zk'))
  const externalOn = given.flag('externalOn', true)
  const dnsOn = given.flag('dnsOn', true)
  const httpOn = given.flag('httpOn', true)
  if (masters.length === 0 && zk === '') throw refused('masters', 'or zk must be given')
  if (!dnsOn && !httpOn)
    throw refused('dnsOn', 'and httpOn cannot both be false: nothing would be served')
  const [certFile, keyFile] = [given.text('certFile'), given.text('keyFile')]
  if (certFile !== '' && keyFile === '') throw refused('keyFile', 'must be given with certFile')
  if (certFile === '' && keyFile !== '') throw refused('certFile', 'must be given with keyFile')
  const said = given.list('resolvers', ['8.8.8.8'])
  const resolvers = externalOn
    ? resolversOf('resolvers', said.length > 0 ? said : localResolvers)
    : []
  const ttl = given.whole('ttl', 60)
  const compat = compatOf(given)
  const mname = nameOf('SOAMname', given.text('SOAMname', `ns1.${domain}`))
  const settings: Settings = {
    zk,
    masters,
    refreshMs: given.whole('refreshSeconds', 60) * 1_000,
    ttl,
    domain,
    listen: {
      address: addressOf('listener', given.text('listener', '0.0.0.0')),
      port: given.whole('port', 53),
    },
    httpListen: {
      address: addressOf('httpListener', given.text('httpListener', '0.0.0.0')),
      port: given.whole('httpPort', 8123),
    },
    dnsOn,
    httpOn,
    resolvers,
    zoneResolvers: externalOn ? zonesOf(given, domain) : {},
    externalOn,
    timeoutMs: (given.whole('timeout', 5) || 5) * 1_000,
    stateTimeoutMs: given.whole('stateTimeoutSeconds', 300) * 1_000,
    zkDetectionMs: given.whole('zkDetectionTimeout', 30) * 1_000,
    recurseOn: given.flag('recurseOn', true),
    enumerationOn: given.flag('enumerationOn', true),
    setTruncateBit: given.flag('setTruncateBit', true),
    ipSources: sourcesOf(given.list('IPSources', ['netinfo', 'mesos', 'host'])),
    enforceRfc952: given.flag('enforceRFC952', false),
    srvWeight: given.whole('SRVRecordDefaultWeight', 1),
    soa: {
      mname,
      rname: nameOf('SOARname', given.text('SOARname', `root.ns1.${domain}`).replaceAll('@', '.')),
      ttl,
      refresh: given.whole('SOARefresh', 60),
      retry: given.whole('SOARetry', 600),
      expire: given.whole('SOAExpire', 86_400),
      minimum: given.whole('SOAMinttl', 60),
    },
    ...httpsOf(given),
    caCertFile: given.text('caCertFile'),
    certFile,
    keyFile,
    iamConfigFile: given.text('iamConfigFile'),
    ...credentialsOf(given),
    compat,
    allow: networksOf(given, resolvers.length > 0),
    file,
  }
  return { settings, warnings: given.warnings }
}

/** The position of a syntax error, if the parser's message contains it. */
const placeOf = (text: string, message: string): string => {
  const at = Number(/position (\d+)/.exec(message)?.[1] ?? NaN)
  if (!Number.isInteger(at)) return ''
  const before = text.slice(0, at).split('\n')
  return `:${before.length}:${(before.at(-1) ?? '').length + 1}`
}

/** Nameservers in a resolv.conf other than this host. */
export const nameservers = (resolvConf: string, own: ReadonlySet<string>): string[] => {
  const found = [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(match => match[1] ?? '')
  return [...new Set(found)].filter(ip => ipFamily(ip) !== 0 && !own.has(ip))
}

/** Reads the file. Throws ECONFIG with the name of the file, and the line of a syntax error. */
export const readConfig = (
  file: string,
  localResolvers: () => readonly string[] = () => [],
): ReadConfig => {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch (er) {
    throw fail(`${file} cannot be read: ${messageOf(er)}`, 'ECONFIG', { cause: er, file })
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (er) {
    throw fail(`${file}${placeOf(text, messageOf(er))}: ${messageOf(er)}`, 'ECONFIG', {
      cause: er,
      file,
    })
  }
  try {
    return settingsFromJson(json, file, localResolvers())
  } catch (er) {
    const { key, reason } = er as { key?: string; reason?: string }
    throw fail(`${file}: ${messageOf(er)}`, 'ECONFIG', { file, key, reason })
  }
}
