// The page: a ticket, a connection, and a row for each station.
"use strict";

const BEAT_MS = 30_000;
const SILENT_MS = 75_000;
const ROOM_FOR_VERSIONS = 30_000;
const LONGEST_WAIT_MS = 15_000;

const stations = new Stations();
const rows = new Map();
let addresses = null;
let wait = 500;

function say(text, state) {
  const where = document.getElementById("connection");
  where.textContent = text;
  where.dataset.state = state;
}

function scope() {
  const geohash = new URLSearchParams(location.search).get("region");
  const named = new URLSearchParams(location.search).get("stations");
  if (geohash) {
    return { kind: "region", geohash };
  }
  return named ? { kind: "stations", stations: named.split(",") } : { kind: "all" };
}

async function ticket() {
  const answer = await fetch(addresses.tickets, { method: "POST" });
  if (!answer.ok) {
    throw new Error(`no ticket: ${answer.status}`);
  }
  return (await answer.json()).ticket;
}

async function connect() {
  say("connecting", "waiting");
  try {
    addresses = await (await fetch("addresses.json")).json();
    open(await ticket());
  } catch (error) {
    again(`cannot connect: ${error.message}`);
  }
}

function again(why) {
  say(`${why}; trying again in ${Math.round(wait / 100) / 10} s`, "lost");
  setTimeout(connect, wait * (0.5 + Math.random()));
  wait = Math.min(2 * wait, LONGEST_WAIT_MS);
}

function open(proof) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/live?ticket=${encodeURIComponent(proof)}`);
  let heard = Date.now();
  const beat = setInterval(() => {
    if (Date.now() - heard > SILENT_MS) {
      socket.close();
    } else if (socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify({ action: "alive", at: stations.newest }));
    }
  }, BEAT_MS);

  socket.onopen = () => {
    say(stations.byId.size ? "connected, resuming" : "connected, loading", "waiting");
    const request = { action: "subscribe", scope: scope(), have: stations.have(ROOM_FOR_VERSIONS) };
    socket.send(JSON.stringify(request));
  };
  socket.onmessage = (message) => {
    heard = Date.now();
    take(JSON.parse(message.data), socket);
  };
  socket.onclose = () => {
    clearInterval(beat);
    again("connection lost");
  };
}

function take(frame, socket) {
  show(stations.take(frame));
  switch (frame.type) {
    case "synchronised":
      wait = 500;
      say(`live, ${frame.stations} stations`, "live");
      break;
    case "closing":
      socket.close();
      break;
    case "problem":
      say(`refused: ${frame.problem.detail}`, "lost");
      break;
  }
}

function show(changed) {
  if (changed.length === 0) {
    return;
  }
  for (const id of changed) {
    fill(row(id), stations.byId.get(id));
  }
  const counts = stations.counts();
  const status = Object.entries(counts.status).map(([name, count]) => `${count} ${name}`);
  document.getElementById("counts").textContent =
    `${counts.stations} stations (${status.join(", ")}), ` +
    `${counts.available} batteries available, ${counts.charging} charging`;
}

function row(id) {
  if (!rows.has(id)) {
    const made = document.createElement("tr");
    for (let column = 0; column < 7; column += 1) {
      made.append(document.createElement("td"));
    }
    rows.set(id, made);
    const next = [...rows.keys()].filter((other) => other > id).sort()[0];
    document.getElementById("stations").insertBefore(made, next === undefined ? null : rows.get(next));
  }
  return rows.get(id);
}

function fill(made, state) {
  const temperature = state.temperature === null ? "sensor failed" : `${state.temperature.toFixed(1)} °C`;
  const texts = [
    state.station_id,
    state.connection || "",
    state.status,
    String(state.battery_available),
    String(state.battery_charging),
    temperature,
    new Date(state.timestamp).toLocaleTimeString(),
  ];
  texts.forEach((text, column) => {
    const cell = made.children[column];
    if (cell.textContent !== text) {
      cell.textContent = text;
      highlight(cell);
    }
  });
  made.dataset.status = state.status;
}

function highlight(cell) {
  cell.classList.remove("changed");
  void cell.offsetWidth;
  cell.classList.add("changed");
}

connect();
