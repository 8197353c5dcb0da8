// docs.js: draws /openapi.json and sends requests from the page. No library; text only ever enters as text nodes.
"use strict";

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== undefined && child !== ""));
  return node;
}

function resolve(spec, schema) {
  if (!schema || !schema.$ref) return schema || {};
  return spec.components.schemas[schema.$ref.split("/").pop()] || {};
}

function sample(spec, schema, depth = 0) {
  const s = resolve(spec, schema);
  if (s.example !== undefined) return s.example;
  if (s.anyOf) return sample(spec, s.anyOf[0], depth);
  if (s.enum) return s.enum[0];
  if (depth > 6) return null;
  switch (s.type) {
    case "object": return Object.fromEntries(Object.entries(s.properties || {}).map(([k, v]) => [k, sample(spec, v, depth + 1)]));
    case "array": return s.items ? [sample(spec, s.items, depth + 1)] : [];
    case "integer": case "number": return s.minimum !== undefined && s.minimum > 0 ? s.minimum : 1;
    case "boolean": return false;
    case "null": return null;
    default: return s.format === "email" ? "you@example.com" : s.format === "uuid" ? "01900000-0000-7000-8000-000000000000" : "text";
  }
}

function limits(schema) {
  const facts = [schema.type, schema.format, schema.enum && schema.enum.join(" | ")];
  if (schema.minimum !== undefined && schema.minimum > -9e15) facts.push("≥ " + schema.minimum);
  if (schema.maximum !== undefined && schema.maximum < 9e15) facts.push("≤ " + schema.maximum);
  if (schema.maxLength !== undefined) facts.push("up to " + schema.maxLength + " characters");
  return facts.filter(Boolean).join(", ");
}

function parameterTable(spec, operation) {
  const rows = operation.parameters.map((p) => {
    const input = element("input", { name: p.name, "data-in": p.in, "aria-label": p.name });
    if (p.name === "Idempotency-Key" && crypto.randomUUID) input.value = crypto.randomUUID();
    return element("tr", {}, element("td", {}, p.name + (p.required ? " *" : "")), element("td", {}, p.in),
      element("td", {}, limits(resolve(spec, p.schema)), element("br"), p.description || ""), element("td", {}, input));
  });
  return rows.length ? element("table", {}, element("tbody", {}, ...rows)) : "";
}

function replyList(spec, operation) {
  return Object.entries(operation.responses).filter(([status]) => status !== "default").map(([status, reply]) => {
    const content = reply.content && reply.content["application/json"];
    return element("details", {}, element("summary", {}, status + " " + reply.description),
      element("pre", {}, content ? JSON.stringify(sample(spec, content.schema), null, 2) : ""));
  });
}

function requestOf(form, path, method, body) {
  let url = path;
  const query = new URLSearchParams();
  const headers = { Accept: "application/json" };
  for (const input of form.querySelectorAll("input[data-in]")) {
    if (input.dataset.in === "path") url = url.replace("{" + input.name + "}", encodeURIComponent(input.value));
    else if (input.value && input.dataset.in === "query") query.set(input.name, input.value);
    else if (input.value) headers[input.name] = input.value;
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = "Bearer " + token;
  if (body) headers["Content-Type"] = "application/json";
  const text = query.toString();
  return [url + (text ? "?" + text : ""), { method, headers, body: body ? body.value : undefined }];
}

async function show(form, path, method, body, out) {
  out.textContent = "...";
  try {
    const reply = await fetch(...requestOf(form, path, method, body));
    const text = await reply.text();
    let pretty = text;
    try { pretty = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    out.textContent = reply.status + " " + reply.statusText + "\n" + [...reply.headers].map((h) => h.join(": ")).join("\n") + "\n\n" + pretty;
  } catch (error) {
    out.textContent = "could not be sent: " + error.message;
  }
}

function operationView(spec, path, method, operation) {
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const body = content && element("textarea", { rows: 8, "aria-label": "request body" });
  if (body) body.value = JSON.stringify(sample(spec, content.schema), null, 2);
  const out = element("pre", { hidden: "" });
  const form = element("form", {}, parameterTable(spec, operation), body || "", element("button", {}, "Send"), out);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    out.hidden = false;
    show(form, path, method.toUpperCase(), body, out);
  });
  const facts = "scope: " + operation["x-scope"] + (operation["x-idempotency"] ? "; takes Idempotency-Key" : "");
  return element("details", { class: "operation", "data-text": (method + " " + path + " " + operation.summary).toLowerCase() },
    element("summary", {}, element("span", { class: "method" }, method.toUpperCase()), element("span", { class: "path" }, path),
      element("span", {}, operation.summary || "")),
    element("p", { class: "facts" }, facts), form, ...replyList(spec, operation));
}

function draw(spec) {
  const main = document.getElementById("operations");
  for (const tag of spec.tags) {
    const views = [];
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags[0] === tag.name) views.push(operationView(spec, path, method, operation));
      }
    }
    if (views.length) main.append(element("section", {}, element("h2", {}, tag.name), element("p", {}, tag.description || ""), ...views));
  }
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const view of document.querySelectorAll("details.operation")) view.hidden = !view.dataset.text.includes(wanted);
});

fetch("/openapi.json").then((reply) => reply.json()).then(draw).catch((error) => {
  document.getElementById("operations").textContent = "could not read /openapi.json: " + error.message;
});
