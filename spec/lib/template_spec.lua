-- lib.template: texts with places to fill.

local template = require "lib.template"

local function html(text, model, partial)
  return template.render(text, model, template.html, partial)
end

describe("a template", function()
  it("escapes what it shows", function()
    assert.equal("<p>&lt;b&gt; &amp; &quot;&#39;</p>", html("<p>{{x}}</p>", { x = "<b> & \"'" }))
    assert.equal("<b>", template.render("{{x}}", { x = "<b>" }, template.text))
  end)

  it("does not read what it has filled in", function()
    assert.equal("{{y}}", html("{{x}}", { x = "{{y}}", y = "secret" }))
  end)

  it("repeats a section for each of a list, and looks outside for what the inside lacks", function()
    assert.equal("1 of z, 2 of z, ", html("{{#list}}{{n}} of {{shop}}, {{/list}}", { shop = "z", list = { { n = 1 },
      { n = 2 } } }))
    assert.equal("[a][b]", html("{{#list}}[{{.}}]{{/list}}", { list = { "a", "b" } }))
  end)

  it("shows a section once for a value and not at all for nothing, and ^ the other way round", function()
    local text = "{{#x}}some{{/x}}{{^x}}none{{/x}}"
    for _, case in ipairs { { "some", true }, { "some", "a" }, { "some", { y = 1 } }, { "none", false }, { "none", {} },
      { "none" } } do
      assert.equal(case[1], html(text, { x = case[2] }))
    end
  end)

  it("takes the line of a lonely tag with it", function()
    assert.equal("a\nb\nc\n", html("a\n{{#x}}\nb\n{{/x}}\nc\n", { x = true }))
  end)

  it("puts another template in its place", function()
    assert.equal("<1>\n", html("{{> part}}\n", { n = 1 }, function(name) return name == "part" and "<{{n}}>\n" end))
  end)

  it("raises for a value that is nowhere and for a malformed text", function()
    for _, text in ipairs { "{{x}}", "{{#y}}", "{{/y}}", "{{#y}}{{/z}}", "{{> gone}}", "{{#y}}{{x}}{{/y}}" } do
      assert.has_error(function() html(text, { y = true }) end)
    end
  end)
end)
