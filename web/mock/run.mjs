// For trying the pages by hand: `npm run build && npm run mock`.

import { Cluster, PASSWORD, USER } from "./cluster.mjs";

const cluster = await Cluster.start({ port: 8088 });
cluster.addSession();
cluster.addSession({ agent: cluster.agents[1], reachable: false, unreachable_since: new Date(Date.now() - 90_000).toISOString() });
console.log(`${cluster.brokers[0].url}  user: ${USER}  password: ${PASSWORD}`);
