// The columns in which `kubectl get` shows each resource: the server's affair, as Tables.
// Those of the built-in kinds are kube-apiserver's; a custom resource brings its own.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "tinf/api/resource_type.h"
#include "tinf/base/clock.h"

namespace tinf::api {

// metav1.TableColumnDefinition entries, as JSON.
std::string column_definitions(const ResourceType& type);

// False: without columns of its own it is shown by name and age.
bool has_built_in_columns(const ResourceType& type);

// One object's cells, in the order of the definitions.
boost::json::array cells(const ResourceType& type, const boost::json::value& object, WallTime now);

// metav1.TableRowCondition entries of a row: that a pod has ended. Mostly none.
boost::json::array row_conditions(const ResourceType& type, const boost::json::value& object);

// An age in kubectl's words: "5s", "3m20s", "2d4h".
std::string human_duration(std::chrono::seconds duration);

}  // namespace tinf::api
