/**
 * Where this host's Mesos agent is: the URL it is asked at, and the address
 * that its tasks' mapped ports are reached at from other hosts.
 */
import { canonicalIp, hostPort } from '../../base/ip.ts'
import { jsonOf, type HttpCall, type Http } from '../../http/client.ts'
import { object, text } from '../../mesos/api/json.ts'
import { pidEndpoint, type Agent } from '../../mesos/api/model.ts'
import { agentInfoFromJson } from '../../mesos/api/operator-api.ts'

/** Port of a Mesos agent, as it is everywhere. */
const PORT = 5051

/**
 * Base URLs at which the agent may be, the likeliest first. `own` is the
 * address that other hosts reach this one by, '' if there is none. Where
 * certificates are configured nothing is asked without TLS: credentials would
 * go to whoever holds the port.
 */
export const agentBases = (said: string, own: string, tls: boolean): readonly string[] => {
  if (said !== 'local') return [said.replace(/\/$/, '')]
  const hosts = own === '' ? ['127.0.0.1', '::1'] : [own, '127.0.0.1']
  const schemes = tls ? ['https'] : ['http', 'https']
  return schemes.flatMap(scheme => hosts.map(host => `${scheme}://${hostPort(host, PORT)}`))
}

/** An address that other hosts may reach, canonical; '' of anything else. */
const outside = (address: string): string => {
  const ip = canonicalIp(address)
  return /^(127\.|0\.0\.0\.0$|::1?$|fe80:)/.test(ip) ? '' : ip
}

/** What an agent says of itself: the address it advertises, else its host name if that is an address. */
const advertised = ({ pid, hostname }: Pick<Agent, 'pid' | 'hostname'>): string =>
  outside(pidEndpoint(pid)?.host ?? '') || outside(hostname)

/**
 * The address that the agent at `base` says it is reached at; '' if it says
 * none that other hosts could use. GET_AGENT of an agent tells no PID, which
 * holds the address given by `--advertise_ip` or `--ip`; its /state does.
 */
export const agentAddress = async (http: Http, base: string, call: HttpCall): Promise<string> => {
  try {
    const body = await http.getBody(`${base}/state`, call)
    const { pid, hostname } = object(jsonOf(base, body))
    const found = advertised({ pid: text(pid), hostname: text(hostname) })
    if (found !== '') return found
  } catch {
    // not permitted, or too long: the operator API says less and may do
  }
  const url = `${base}/api/v1`
  const said = advertised(agentInfoFromJson(await http.postJson(url, { type: 'GET_AGENT' }, call)))
  // an agent that registered under a name is where we reach it, unless that is this host's inside
  return said || outside(new URL(base).hostname.replace(/^\[|\]$/g, ''))
}
