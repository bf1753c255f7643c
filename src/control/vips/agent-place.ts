/**
 * Finds this host's Mesos agent: the URL for requests, and the address at which other hosts reach mapped ports of
 * its tasks.
 */
import { canonicalIp, hostPort } from '../../base/ip.ts'
import { jsonOf, type HttpCall, type Http } from '../../http/client.ts'
import { object, text } from '../../mesos/api/json.ts'
import { pidEndpoint, type Agent } from '../../mesos/api/model.ts'
import { agentInfoFromJson } from '../../mesos/api/operator-api.ts'

/** The standard port of a Mesos agent. */
const PORT = 5051

/**
 * Possible base URLs of the agent, most likely first. `own` is this host's address for other hosts, '' if there is
 * none. If certificates are configured, only TLS is used, because otherwise any program on that port would get our
 * credentials.
 */
export const agentBases = (said: string, own: string, tls: boolean): readonly string[] => {
  if (said !== 'local') return [said.replace(/\/$/, '')]
  const hosts = own === '' ? ['127.0.0.1', '::1'] : [own, '127.0.0.1']
  const schemes = tls ? ['https'] : ['http', 'https']
  return schemes.flatMap(scheme => hosts.map(host => `${scheme}://${hostPort(host, PORT)}`))
}

/** The canonical address if other hosts may reach it; otherwise ''. */
const outside = (address: string): string => {
  const ip = canonicalIp(address)
  return /^(127\.|0\.0\.0\.0$|::1?$|fe80:)/.test(ip) ? '' : ip
}

/** The address that the agent advertises, or its host name if that is an address. */
const advertised = ({ pid, hostname }: Pick<Agent, 'pid' | 'hostname'>): string =>
  outside(pidEndpoint(pid)?.host ?? '') || outside(hostname)

/**
 * The address at which the agent at `base` says it is reached; '' if it names none that other hosts can use.
 * GET_AGENT lacks the PID, which contains the address set by `--advertise_ip` or `--ip`; /state has it.
 */
export const agentAddress = async (http: Http, base: string, call: HttpCall): Promise<string> => {
  try {
    const body = await http.getBody(`${base}/state`, call)
    const { pid, hostname } = object(jsonOf(base, body))
    const found = advertised({ pid: text(pid), hostname: text(hostname) })
    if (found !== '') return found
  } catch {
    // not permitted, or too long: the operator API has less data, but may suffice
  }
  const url = `${base}/api/v1`
  const said = advertised(agentInfoFromJson(await http.postJson(url, { type: 'GET_AGENT' }, call)))
  // an agent that registered under a name is reached where we reach it, unless that is a local address
  return said || outside(new URL(base).hostname.replace(/^\[|\]$/g, ''))
}
