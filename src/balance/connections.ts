/** Counts the tracked connections of each VIP in a listing of `conntrack -L`. Pure. */

/** Limit of VIPs in a report: those with the most connections. */
const MOST = 200

/** 'tcp 6 431999 ESTABLISHED src=10.0.0.9 dst=11.0.0.1 sport=40000 dport=80 …': the first pair is the client's. */
const FLOW = /^(tcp|udp) +\d+ +\d+ +(?:([A-Z_]+) +)?src=\S+ dst=(\S+) sport=\d+ dport=(\d+) /gm

/** TCP connections that are established and UDP flows, by '11.0.0.1 . tcp . 80'; only the keys of `services`. */
export const countConnections = (
  listing: string,
  services: ReadonlyMap<string, unknown>,
): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const [, protocol = '', state = '', address = '', port = ''] of listing.matchAll(FLOW)) {
    if (protocol === 'tcp' && state !== 'ESTABLISHED') continue
    const key = `${address} . ${protocol} . ${port}`
    if (services.has(key)) counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

/** The VIPs with the most connections. */
export const busiest = (counts: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries([...counts].sort(([, a], [, b]) => b - a).slice(0, MOST))
