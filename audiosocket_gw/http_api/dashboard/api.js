// Requests to the gateway. The token is kept in this tab alone, and sent as a header: never in an address.

const KEY = "audiosocket-gw-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: value => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const TIMEOUT_MS = 15_000;

export async function request(path, {method = "GET", body, signal, headers = {}} = {}) {
  const given = token.get();
  const all = {...headers};
  if (given) all.Authorization = `Bearer ${given}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method, signal: signal ?? AbortSignal.timeout(TIMEOUT_MS), headers: all, cache: "no-store",
    body: body === undefined ? undefined : JSON.stringify(body), credentials: "omit", redirect: "error",
  });
  return response;
}

// Return the JSON that a path answers with; the statuses in `also` are answers, too.
export async function json(path, options = {}, also = []) {
  const response = await request(path, options);
  if (!response.ok && !also.includes(response.status)) throw await failure(response);
  return response.json();
}

export async function failure(response) {
  let message = `HTTP status ${response.status}`;
  try {
    message = (await response.json()).error ?? message;
  } catch {
    // no JSON: a proxy's page, perhaps
  }
  return new ApiError(response.status, message);
}

export const hangUp = uuid => json(`calls/${encodeURIComponent(uuid)}/hangup`, {method: "POST"});
export const transfer = (uuid, destination) =>
  json(`calls/${encodeURIComponent(uuid)}/transfer`, {method: "POST", body: {destination}});

// Open a call's page in a tab. A tab can't send the token: it gets a ticket that is good once.
export async function openCallPage(uuid) {
  const tab = open("about:blank", "_blank"); // at once: after a wait the browser would take it for an advertisement
  if (!tab) throw new Error("the browser opens no tab");
  try {
    const {page} = await json(`calls/${encodeURIComponent(uuid)}/page`, {method: "POST"});
    tab.opener = null;
    tab.location.replace(new URL(page, document.baseURI));
  } catch (error) {
    tab.close();
    throw error;
  }
}
